"""Keys of a config that say how text is drawn from a model. Read without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from imglab.config.section import WATERMARK_KEY, Section, Seed, choice, newer_key


class DecodingSettings(Section):
    """Keys that all ways of decoding have. Prompts count as text that was written before."""

    repetition_penalty: Annotated[float, Field(ge=0.01, le=100)] = newer_key(1.0)
    """Divide the logits of tokens that were written before by this number where they are positive,
    multiply them where they are negative (Keskar et al. 2019). 1 means no penalty; Shumailov et al.
    2024 compare 1 with 2."""
    no_repeat_ngram: Annotated[int, Field(ge=2, le=65_536)] | None = newer_key(None)
    """Write no n tokens in a row that were written before (Paulus et al. 2018: n = 3), except where
    nothing else could follow; default: no such rule."""


class SamplingSettings(DecodingSettings):
    """Draw each token from the model's distribution: temperature, then top-k, then top-p."""

    kind: Literal["sampling"] = "sampling"
    temperature: Annotated[float, Field(ge=0.001, le=100)] = 1.0
    """Temperature of the distribution; below 1 likely tokens become more likely."""
    top_k: Annotated[int, Field(ge=1, le=10**7)] | None = None
    """Draw only from the k most likely tokens; default: from all."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Draw only from the smallest set of tokens whose probabilities sum to p."""


class BeamSettings(DecodingSettings):
    """Take the most likely continuation that beam search finds; nothing is random."""

    kind: Literal["beam"] = "beam"
    beams: Annotated[int, Field(ge=1, le=1000)] = 5
    """Continuations that the search keeps at each token."""
    length_penalty: Annotated[float, Field(ge=-100, le=100)] | None = newer_key(None)
    """Let a continuation end where the model ends the document, and rank by log-likelihood over
    length to this power (Wu et al. 2016); the block is filled up with end tokens. Default: text
    goes on after the end of a document, so that all continuations have one length."""


class TextWatermarkSettings(Section):
    """Mark all drawn text by favouring some tokens.

    The key and the previous token choose the part of the vocabulary that is favoured. This is the
    scheme of Kirchenbauer et al. 2023 (2301.10226), as in transformers.
    """

    key: Seed = WATERMARK_KEY
    """Secret number that chooses the favoured tokens; detection needs the same number."""
    strength: Annotated[float, Field(gt=0, le=100)] = 2.5
    """delta: what is added to the logits of the favoured quarter of the vocabulary."""


if TYPE_CHECKING:
    DecodingChoice = SamplingSettings | BeamSettings
else:
    DecodingChoice = choice(SamplingSettings, BeamSettings)
