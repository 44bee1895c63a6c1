"""The sections of `curate:`, by which some of the samples drawn go on to the pool. No torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from imglab.config.section import WATERMARK_KEY, Section, Seed


class CurationSection(Section):
    """The keys of `curate:` that every kind of curator has."""

    oversample: Annotated[float, Field(ge=1, le=1000)] | None = None
    """How many times `samples` a generation draws. Left out, a curator that keeps a fixed share
    draws as many as leave `samples`; any other curator draws `samples`."""


class RankingSection(CurationSection):
    """A curator that keeps the best share."""

    keep: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the samples drawn that is kept."""


class RandomCuration(RankingSection):
    """Keep a share at random: the control of the other curators."""

    kind: Literal["random"] = "random"


class ConfidenceCuration(RankingSection):
    """Keep the share of which the data's own classifier is most certain."""

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
    """Samples closer than this are duplicates. The unit is the median distance of a real sample to
    the nearest other one."""


class DropWatermarkedCuration(CurationSection):
    """Drop the samples that a detector attributes to a model that marks its samples."""

    kind: Literal["drop_watermarked"] = "drop_watermarked"
    key: Seed = WATERMARK_KEY
    """The secret number with which the model marks its samples (`model.watermark.key`)."""
    false_positive_rate: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """Share of real samples in which the detector sees a mark; this sets its threshold."""
    error_rate: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Share of the detector's verdicts that are reversed, which simulates a worse detector."""


class HumanCuration(CurationSection):
    """Export the samples, stop (exit code 3) and go on when a person has marked them."""

    kind: Literal["human"] = "human"


class LikelihoodRankCuration(RankingSection):
    """Keep the share that is the least, or the most, likely under the model that drew it."""

    kind: Literal["likelihood_rank"] = "likelihood_rank"
    end: Literal["least", "most"] = "least"
    """Which end of the ranking is kept."""


class EntropyCuration(RankingSection):
    """Keep a share of high entropy: samples far from each other, by a threshold that falls."""

    kind: Literal["entropy"] = "entropy"


class LatentFilterCuration(RankingSection):
    """Keep the share whose features are nearest to the subspace of the real ones (LSF)."""

    kind: Literal["latent_filter"] = "latent_filter"
    variance: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Share of the variance of real features that the subspace holds."""


class LabelVerifierCuration(CurationSection):
    """Keep samples whose label the data's own classifier confirms, with errors as asked for."""

    kind: Literal["label_verifier"] = "label_verifier"
    true_positive: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Probability that a sample of right label is kept."""
    false_positive: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Probability that a sample of wrong label is kept."""


class PreferenceCuration(CurationSection):
    """Keep one of each few samples, chosen by a reward as people choose (Bradley-Terry)."""

    kind: Literal["preference"] = "preference"
    choices: Annotated[int, Field(ge=2, le=1000)] = 2
    """Of how many samples one is chosen."""
    reward: Literal["confidence", "density"] = "confidence"
    """What is preferred: what the data's own classifier is sure of, or what is likely under
    generation 0's model."""
    scale: Annotated[float, Field(ge=-1000, le=1000)] = 1.0
    """Factor of the reward; 0 chooses at random, and below 0 the reverse is preferred."""


CURATIONS = (
    RandomCuration,
    ConfidenceCuration,
    OracleCuration,
    DensityCuration,
    DiversityCuration,
    DuplicatesCuration,
    DropWatermarkedCuration,
    HumanCuration,
    LikelihoodRankCuration,
    EntropyCuration,
    LatentFilterCuration,
    LabelVerifierCuration,
    PreferenceCuration,
)


def kept_share(section: Any) -> float | None:
    """Return the share of the samples drawn that a curator keeps; None: it is not fixed."""
    if isinstance(section, RankingSection):
        return section.keep
    if isinstance(section, PreferenceCuration):
        return 1 / section.choices
    return None
