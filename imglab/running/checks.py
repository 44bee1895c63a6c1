"""Checks of what a config asks for against what its data, model and regime have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import prod

from imglab import curation
from imglab.config.curation_sections import (
    ConfidenceCuration,
    CurationSection,
    DensityCuration,
    DropWatermarkedCuration,
    HumanCuration,
    LabelVerifierCuration,
    LikelihoodRankCuration,
    PreferenceCuration,
    kept_share,
)
from imglab.config.machine import machine_memory, size_text
from imglab.config.schema import RunConfig
from imglab.errors import InputError, Problem
from imglab.mixed.settings import PopulationSettings
from imglab.mixed.shares import check_parts
from imglab.modality import Exporter, FreshData, Judge, Modality, WatermarkDetector
from imglab.model import Density, GenerativeModel
from imglab.pool import given_samples, pool_sizes
from imglab.regimes.registry import BoundRegime, RunSizes


def drawn_samples(config: RunConfig, samples: int) -> int:
    """Return how many samples a generation draws so that its curator leaves `samples`.

    That is known only of a curator that keeps a fixed share; of others `oversample` decides.
    """
    section = config.curate
    if isinstance(section, CurationSection) and section.oversample is not None:
        return round(samples * section.oversample)
    share = kept_share(section)
    if share is not None:
        return curation.drawn_size(samples, share)
    return samples


def check_sizes(config: RunConfig, modality: Modality, regime: BoundRegime | None) -> None:
    """Raise InputError if curation, metrics or the regime need more samples than there are."""
    real = len(modality.real("train"))
    left = config.samples or real
    drawn = drawn_samples(config, left)
    share = kept_share(config.curate)
    if share is not None:
        left = curation.kept_size(drawn, share)

    problems: list[Problem] = []
    if left == 0:
        what = f"keeps none of {drawn} samples"
        problems.append(Problem("curate.keep", what, "keep more, or raise samples"))
    problems += _check_draw(drawn, modality)
    problems += _check_measure(config, real, len(modality.real("test")), drawn)
    sizes = RunSizes(
        real=real,
        left=left,
        generations=config.generations,
        available=_fresh_available(modality),
        sets=pool_sizes(modality, []).sets,
    )
    problems += _check_regime(regime, sizes)
    problems += _check_given(config, modality)
    if problems:
        raise InputError(problems)
    _check_parts(config, modality, regime, left)


def _check_parts(
    config: RunConfig, modality: Modality, regime: BoundRegime | None, left: int
) -> None:
    """Raise InputError where the first training sets are too small for a population's parts."""
    section = config.model
    if regime is None or not isinstance(section, PopulationSettings):
        return
    if section.train_on == "pool":
        return
    for g in range(min(2, config.generations)):
        train = regime(pool_sizes(modality, [left] * g), generation=g, seed=0)
        check_parts(section.weights, len(train))


def _check_draw(drawn: int, modality: Modality) -> Iterator[Problem]:
    """Find a draw that does not fit into memory: all samples of a generation are held at once."""
    spec = modality.spec
    each = prod(spec.shape) * spec.dtype.itemsize
    limit = machine_memory()
    if limit is None or drawn * each <= limit:
        return
    what = (
        f"{drawn:,} samples of {size_text(each)} need {size_text(drawn * each)} of memory; the "
        f"machine has {size_text(limit)}"
    )
    yield Problem("samples", what, f"at most {limit // each:,}")


def _check_measure(config: RunConfig, real: int, test: int, drawn: int) -> Iterator[Problem]:
    """Find metrics that need more samples than the data have, or than a generation draws."""
    if test < 2:
        what = f"metrics need at least 2 test samples, there are {test}"
        yield Problem("modality", what, "keep more apart")

    reference = test if config.measure.reference == "test" else real
    scored = config.measure.samples
    if scored is not None and reference + scored > real + test:
        what = f"a floor needs {reference} + {scored} real samples, there are {real + test}"
        remedy = f"at most {max(0, real + test - reference)}"
        yield Problem("measure.samples", what, remedy)

    fewest = min(reference, scored or drawn)
    for key in ("precision_recall_k", "density_coverage_k"):
        k = getattr(config.measure, key)
        if k < fewest:
            continue

        remedy = f"at most {fewest - 1}" if fewest > 1 else "add samples"
        what = f"{k} neighbours need more than {k} samples on both sides, there are {fewest}"
        yield Problem(f"measure.{key}", what, remedy)


def _check_regime(regime: BoundRegime | None, run: RunSizes) -> Iterable[Problem]:
    """Return what a regime asks for and the run will not have; nothing of one not imported yet."""
    if regime is None:
        return ()
    return regime.needs(run)


def _check_given(config: RunConfig, modality: Modality) -> Iterator[Problem]:
    """Find synthetic data of the user's without the classes or captions that the model learns."""
    spec = modality.spec
    members = getattr(config.model, "models", None) or [config.model]
    if not (spec.prompts or any(getattr(each, "class_conditional", False) for each in members)):
        return

    for label, samples in given_samples(modality).items():
        if samples.condition is not None or spec.conditions is None:
            continue
        where = f"modality.synthetic.{label}"
        if spec.prompts:
            yield Problem(where, "has no captions, and the model learns from captions")
            continue
        what = "has no classes, and the model is class-conditional"
        remedy = "sort it into one folder for each class, or set model.class_conditional to false"
        yield Problem(where, what, remedy)


def _fresh_available(modality: Modality) -> int | None:
    """Return how many fresh samples there are; None means endless."""
    stream = modality.ability(FreshData)
    return 0 if stream is None else stream.fresh_available()


def check_curator(config: RunConfig, modality: Modality, models: Sequence[GenerativeModel]) -> None:
    """Raise InputError where a curator needs an ability that the data or the model do not have."""
    section = config.curate
    needed: dict[type, tuple[type, str]] = {
        ConfidenceCuration: (Judge, "a judge of its samples"),
        LabelVerifierCuration: (Judge, "a judge of its samples"),
        DropWatermarkedCuration: (WatermarkDetector, "a watermark detector"),
        HumanCuration: (Exporter, "a form in which samples are exported"),
    }
    if isinstance(section, PreferenceCuration) and section.reward == "confidence":
        needed[PreferenceCuration] = needed[ConfidenceCuration]

    if type(section) in needed:
        ability, name = needed[type(section)]
        if modality.ability(ability) is None:
            what = f"needs a modality that has {name}; {type(modality).__name__} does not"
            raise InputError(Problem("curate.kind", what, "choose oracle, diversity or duplicates"))

    if isinstance(section, LabelVerifierCuration) and not models[0].conditional:
        what = "verifies labels, which the samples of this model do not have"
        raise InputError(Problem("curate.kind", what, "set model.class_conditional"))
    _check_density(section, models[: config.generations])


def asks_generation0(section: object) -> bool:
    """Say whether a curator ranks by the density of generation 0's model."""
    if isinstance(section, PreferenceCuration):
        return section.reward == "density"
    return isinstance(section, DensityCuration)


def _check_density(section: object, models: Sequence[GenerativeModel]) -> None:
    """Raise InputError where a curator ranks by a density that the models do not provide."""
    asked: Sequence[GenerativeModel] = ()
    if asks_generation0(section):
        asked = models[:1]
    if isinstance(section, LikelihoodRankCuration):
        asked = models  # each generation's own model

    # A population has a density if all of its members do.
    lacking = [model for model in asked if model.ability(Density) is None]
    members = [member for model in lacking for member in model.members]
    names = dict.fromkeys(type(each).__name__ for each in members if each.ability(Density) is None)
    if not lacking:
        return

    what = f"needs a model that provides log_density; {', '.join(names)} does not"
    raise InputError(Problem("curate.kind", what, "choose oracle or confidence"))
