"""What a config asks for and its data, model or regime do not have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from imglab import curation, regimes
from imglab.config.schema import RunConfig
from imglab.config.sections import (
    ConfidenceCuration,
    CurationSection,
    DensityCuration,
    DropWatermarkedCuration,
    FreshDataSettings,
    HumanCuration,
    MixSettings,
    RankingSection,
    SyntheticAugmentationSettings,
)
from imglab.errors import InputError, Problem
from imglab.mixed.population import has_density
from imglab.modality import Modality
from imglab.model import GenerativeModel


def drawn_samples(config: RunConfig, samples: int) -> int:
    """Return how many samples a generation draws so that `samples` are left, as far as that can be known."""
    section = config.curate
    if isinstance(section, CurationSection) and section.oversample is not None:
        return round(samples * section.oversample)
    return (
        curation.drawn_size(samples, section.keep)
        if isinstance(section, RankingSection)
        else samples
    )


def check_sizes(config: RunConfig, modality: Modality) -> None:
    real, test = len(modality.real("train")), len(modality.real("test"))
    left = config.samples or real
    drawn = drawn_samples(config, left)
    if isinstance(config.curate, RankingSection):
        left = curation.kept_size(drawn, config.curate.keep)
    problems = []
    if not left:
        problems.append(
            Problem("curate.keep", f"keeps none of {drawn} samples", "keep more, or raise samples")
        )
    if test < 2:
        problems.append(
            Problem(
                "modality",
                f"metrics need at least 2 test samples, there are {test}",
                "keep more apart",
            )
        )
    reference = test if config.measure.reference == "test" else real
    for key in ("precision_recall_k", "density_coverage_k"):
        k, fewest = getattr(config.measure, key), min(reference, drawn)
        if k >= fewest:
            what = f"{k} neighbours need more than {k} samples on both sides, there are {fewest}"
            problems.append(
                Problem(
                    f"measure.{key}", what, f"at most {fewest - 1}" if fewest > 1 else "add samples"
                )
            )
    problems += _check_regime(config, real, left, modality.fresh_available())
    if problems:
        raise InputError(problems)


def _check_regime(
    config: RunConfig, real: int, left: int, available: int | None
) -> Iterator[Problem]:
    """Find what a regime asks for and the data, or the generations, do not have."""
    regime, later, fresh = config.regime, range(1, config.generations), 0
    if isinstance(regime, MixSettings):
        kept = [regimes.real_share_size(left, regime.real_fraction, g) for g in later]
        if regime.real == "fresh":
            fresh = sum(kept)
        elif max(kept, default=0) > real:
            what = f"asks for {max(kept)} real samples, there are {real}"
            yield Problem("regime.real_fraction", what, "lower it, or samples")
    elif isinstance(regime, FreshDataSettings):
        fresh = regime.fresh * len(later)
    elif isinstance(regime, SyntheticAugmentationSettings):
        asked = regimes.augmentation_size(real, regime.ratio)
        if later and asked > left:
            what = f"asks for {asked} synthetic samples, a generation leaves {left}"
            yield Problem("regime.ratio", what, f"raise samples to {asked}, or lower it")
    if available is not None and fresh > available:
        what = (
            f"{len(later)} generations need {fresh} fresh real samples, {available} are kept apart"
        )
        remedy = "keep more apart (modality.n_fresh)" + (
            ", or use real: resampled" if isinstance(regime, MixSettings) else ""
        )
        yield Problem(
            "regime.real" if isinstance(regime, MixSettings) else "regime.fresh", what, remedy
        )


def check_curator(config: RunConfig, modality: Modality, models: Sequence[GenerativeModel]) -> None:
    """Raise InputError where a curator needs what the data or the model do not have."""
    section = config.curate
    for kind, ability, what in (
        (ConfidenceCuration, "confidence", "needs confidence of the data, which these do not have"),
        (
            DropWatermarkedCuration,
            "watermark_scores",
            "needs watermark scores of the data, which these do not have",
        ),
        (HumanCuration, "export", "shows samples to a person, and these have no form for that"),
    ):
        if isinstance(section, kind) and ability not in modality.abilities:
            raise InputError(Problem("curate.kind", what, "choose oracle, diversity or duplicates"))
    if isinstance(section, DensityCuration):
        blind = [type(member).__name__ for member in models[0].members if not has_density(member)]
        if blind:
            what = f"generation 0's model knows no density: {', '.join(blind)}"
            raise InputError(Problem("curate.kind", what, "choose oracle or confidence"))
