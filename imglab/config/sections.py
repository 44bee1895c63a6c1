"""The sections of a config that every kind of data has. Read without torch."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import Field, create_model

from imglab import regimes
from imglab.config.section import WATERMARK_KEY, Section, Seed
from imglab.regimes.registry import CALL


def regime_section(name: str, function: Callable[..., object]) -> type[Section]:
    """Return the section that holds a regime's keys: those parameters that are not of each call.

    Their types, bounds and descriptions are read from the function's annotations.
    """
    # `Selection`, which the function returns, needs torch; which class it is does not matter here.
    hints = get_type_hints(function, localns={"Selection": object}, include_extras=True)
    fields: dict[str, Any] = {"kind": (Literal[name], name)}
    for key, parameter in inspect.signature(function).parameters.items():
        if key in CALL:
            continue
        required = parameter.default is inspect.Parameter.empty
        fields[key] = (hints[key], ... if required else parameter.default)

    title = name.title().replace("_", "")
    return create_model(
        f"{title}Settings", __base__=Section, __doc__=inspect.getdoc(function), **fields
    )


REGIME_SECTIONS = {
    name: regime_section(name, function) for name, function in regimes.REGIMES.items()
}
"""The sections of the regimes that ship, by name."""
REGIMES = tuple(REGIME_SECTIONS.values())


class CurationSection(Section):
    """`curate:`, whichever kind it is."""

    oversample: Annotated[float, Field(ge=1, le=1000)] | None = None
    """How many times `samples` are drawn; left out: as many as leave `samples` after a fixed share is kept."""


class RankingSection(CurationSection):
    """A curator that keeps the best share."""

    keep: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the samples drawn that is kept."""


class RandomCuration(RankingSection):
    """Keep a share at random: the control of the others."""

    kind: Literal["random"] = "random"


class ConfidenceCuration(RankingSection):
    """Keep the share of which the data's own classifier is most sure."""

    kind: Literal["confidence"] = "confidence"


class OracleCuration(RankingSection):
    """Keep the share whose features are nearest to real training samples."""

    kind: Literal["oracle"] = "oracle"


class DensityCuration(RankingSection):
    """Keep the share most likely under generation 0's model (text: of lowest perplexity)."""

    kind: Literal["density"] = "density"


class DiversityCuration(RankingSection):
    """Keep a share spread as far as possible over the feature space."""

    kind: Literal["diversity"] = "diversity"


class DuplicatesCuration(CurationSection):
    """Drop near-duplicates of samples accepted before."""

    kind: Literal["duplicates"] = "duplicates"
    distance: Annotated[float, Field(ge=0, le=1000)] = 0.5
    """In units of the real data's median distance to the nearest other sample."""


class DropWatermarkedCuration(CurationSection):
    """Drop what a detector takes for the work of a model that marks its samples."""

    kind: Literal["drop_watermarked"] = "drop_watermarked"
    key: Seed = WATERMARK_KEY
    false_positive_rate: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """Share of real samples in which it finds the mark: sets its threshold."""
    error_rate: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Share of verdicts that are turned round: a detector worse than this one."""


class HumanCuration(CurationSection):
    """Export the samples, stop (exit code 3) and go on when a person has marked them."""

    kind: Literal["human"] = "human"


CURATIONS = (
    RandomCuration,
    ConfidenceCuration,
    OracleCuration,
    DensityCuration,
    DiversityCuration,
    DuplicatesCuration,
    DropWatermarkedCuration,
    HumanCuration,
)


class MeasureSettings(Section):
    """What generations are compared with, and how."""

    reference: Literal["train", "test"] = "test"
    precision_recall_k: Annotated[int, Field(ge=1, le=10**6)] = 3
    density_coverage_k: Annotated[int, Field(ge=1, le=10**6)] = 5
    floor_splits: Annotated[int, Field(ge=20, le=1000)] = 20
