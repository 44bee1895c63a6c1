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
from imglab.modality import Exporter, FreshData, Judge, Modality, WatermarkDetector
from imglab.model import Density, GenerativeModel


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
    problems += _check_regime(config, real, left, _fresh_available(modality))
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


def _fresh_available(modality: Modality) -> int | None:
    """Return how many fresh samples there are; None means endless."""
    stream = modality.ability(FreshData)
    return 0 if stream is None else stream.fresh_available()


def check_curator(config: RunConfig, modality: Modality, models: Sequence[GenerativeModel]) -> None:
    """Raise InputError where a curator needs an ability that the data or the model do not have."""
    section = config.curate
    needed: dict[type, tuple[type, str]] = {
        ConfidenceCuration: (Judge, "a judge of its samples"),
        DropWatermarkedCuration: (WatermarkDetector, "a watermark detector"),
        HumanCuration: (Exporter, "a form in which samples are exported"),
    }

    if type(section) in needed:
        ability, name = needed[type(section)]
        if modality.ability(ability) is None:
            what = f"needs a modality that has {name}; {type(modality).__name__} does not"
            raise InputError(Problem("curate.kind", what, "choose oracle, diversity or duplicates"))

    if isinstance(section, DensityCuration) and models[0].ability(Density) is None:
        names = [
            type(member).__name__ for member in models[0].members if member.ability(Density) is None
        ]
        what = f"needs a model that provides log_density; {', '.join(names)} does not"
        raise InputError(Problem("curate.kind", what, "choose oracle or confidence"))
