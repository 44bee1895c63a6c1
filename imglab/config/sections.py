"""The sections of a config that every kind of data has. Read without torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from imglab.config.section import WATERMARK_KEY, Section, Seed

Share = Annotated[float, Field(ge=0, le=1)]


class ReplaceSettings(Section):
    """Train on the last generation's samples alone."""

    kind: Literal["replace"] = "replace"


class RealOnlySettings(Section):
    """Train on the real data alone: the control."""

    kind: Literal["real_only"] = "real_only"
    size: Literal["real", "last"] = "real"
    """All of it, or no more than the last generation drew: equal budget where `samples` is smaller."""


class AccumulateSettings(Section):
    """Train on the real data and all generations so far."""

    kind: Literal["accumulate"] = "accumulate"


class AccumulateSubsampleSettings(Section):
    """Train on a draw of fixed size from the real data and all generations so far."""

    kind: Literal["accumulate_subsample"] = "accumulate_subsample"


class MixSettings(Section):
    """Train on a share of real data and the last generation's samples."""

    kind: Literal["mix"] = "mix"
    real_fraction: Share | Annotated[list[Share], Field(min_length=1)]
    """One share, or one for each generation from 1 on; the last one stays."""
    real: Literal["fixed", "resampled", "fresh"] = "fixed"


class SyntheticAugmentationSettings(Section):
    """Train on all real data and a number of the last generation's samples."""

    kind: Literal["synthetic_augmentation"] = "synthetic_augmentation"
    ratio: Annotated[float, Field(ge=0, le=10**6)] = 1.0
    """lambda: synthetic samples for each real one."""


class FreshDataSettings(Section):
    """Train on the last generation's samples and real data that no generation has seen."""

    kind: Literal["fresh_data"] = "fresh_data"
    fresh: Annotated[int, Field(ge=0, le=10**9)]
    """Real samples that each generation adds."""


class SlidingWindowSettings(Section):
    """Train on the samples of the last few generations."""

    kind: Literal["sliding_window"] = "sliding_window"
    window: Annotated[int, Field(ge=1, le=32_000)] = 3
    """Generations; the real data count as the one before generation 0."""


REGIMES = (
    ReplaceSettings,
    RealOnlySettings,
    AccumulateSettings,
    AccumulateSubsampleSettings,
    MixSettings,
    SyntheticAugmentationSettings,
    FreshDataSettings,
    SlidingWindowSettings,
)


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
