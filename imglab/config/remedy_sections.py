"""The sections of `remedy:`, by which a fit, its model or its drawing changes. Without torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from imglab.config.section import Section


class RemedySection(Section):
    """The keys of `remedy:` that every kind of remedy has."""

    first: Annotated[int, Field(ge=0, le=32_000)] = 1
    """First generation that it changes. From 1 on generation 0 is the one of chains without it."""


class SelfTrainingSection(RemedySection):
    """A remedy that trains each generation's model further on samples that it drew itself."""

    samples: Annotated[int, Field(ge=1, le=10**9)] | None = None
    """How many samples it draws for that. Default: as many as its training set has."""


class NeonRemedy(SelfTrainingSection):
    """Move the weights away from those of the model trained on its own samples (Neon)."""

    kind: Literal["neon"] = "neon"
    w: Annotated[float, Field(ge=-10, le=10)]
    """How far: the weights become (1 + w) reference - w self-trained. 0 changes nothing; below 0
    is for samplers that seek diversity."""


class NegativeGuidanceRemedy(SelfTrainingSection):
    """Lead drawing away from the model trained on its own samples (SIMS)."""

    kind: Literal["negative_guidance"] = "negative_guidance"
    w: Annotated[float, Field(ge=0, le=10)]
    """Strength of the guidance; 0 changes nothing."""


class AnnealRemedy(RemedySection):
    """Stop the sampler early, by a time that shrinks over generations."""

    kind: Literal["anneal"] = "anneal"
    start: Annotated[float, Field(ge=0, le=3)]
    """Time at which generation `first` stops: noise of variance 1 - e^(-2 start) stays in what it
    draws. 0 changes nothing."""
    decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Factor of that time from each generation to the next; 1 stops at the same time for ever."""


class TruncatedLossRemedy(RemedySection):
    """Leave tokens that the network is already sure of out of the loss (ForTIFAI)."""

    kind: Literal["truncated_loss"] = "truncated_loss"
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Tokens of a higher probability are left out. 1 leaves out none."""


class TokenEditingRemedy(RemedySection):
    """Draw again the tokens of a training set that generation 0's model is too sure of."""

    kind: Literal["token_editing"] = "token_editing"
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.99
    """Tokens of a higher probability are drawn again. 1 changes nothing."""


class WeightsRemedy(RemedySection):
    """Give the real part of each training set a share of the loss (golden ratio: 0.618)."""

    kind: Literal["weights"] = "weights"
    real: Annotated[float, Field(gt=0, le=1)]
    """Share of the loss that real samples have, however many they are. Their share of the training
    set changes nothing."""


REMEDIES = (
    NeonRemedy,
    NegativeGuidanceRemedy,
    AnnealRemedy,
    WeightsRemedy,
    TruncatedLossRemedy,
    TokenEditingRemedy,
)


def listed(value: Any) -> Any:
    """Let one remedy stand for a list of one, and nothing for none."""
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return list(value)
    return [value]
