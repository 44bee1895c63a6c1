"""What a config asks for and its data, model or regime do not have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from imglab import curation
from imglab.config.schema import RunConfig
from imglab.config.sections import (
    ConfidenceCuration,
    CurationSection,
    DensityCuration,
    DropWatermarkedCuration,
    HumanCuration,
    RankingSection,
)
from imglab.errors import InputError, Problem
from imglab.modality import Exporter, FreshData, Judge, Modality, WatermarkDetector
from imglab.model import Density, GenerativeModel
from imglab.regimes.registry import BoundRegime, RunSizes


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


def check_sizes(config: RunConfig, modality: Modality, regime: BoundRegime | None) -> None:
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
    problems += _check_regime(
        regime,
        RunSizes(
            real=real,
            left=left,
            generations=config.generations,
            available=_fresh_available(modality),
        ),
    )
    if problems:
        raise InputError(problems)


def _check_regime(regime: BoundRegime | None, run: RunSizes) -> Iterable[Problem]:
    """Return what a regime asks for and the run will not have; nothing of one not imported yet."""
    if regime is None:
        return ()
    return regime.needs(run)


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
