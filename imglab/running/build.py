"""From a validated config to built objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import torch

from imglab import curation
from imglab.config import kinds
from imglab.config.load import plug_ins
from imglab.config.paths import missing_path
from imglab.config.schema import RunConfig
from imglab.config.section import PlugIn, Section
from imglab.config.shared_problems import SharedProblems
from imglab.errors import InputError, Problem, ProblemCollector
from imglab.lineage import Lineage
from imglab.measure import Measure, build_measure
from imglab.measure.own import KEY, import_metrics
from imglab.mixed.population import Population
from imglab.mixed.settings import AlternatingSettings, PopulationSettings
from imglab.modality import Modality
from imglab.model import GenerativeModel, naming_damage
from imglab.regimes import BoundRegime
from imglab.remedies import Remedy
from imglab.running.build_remedies import build_remedies
from imglab.running.checks import check_curator, check_sizes, drawn_samples
from imglab.running.environment import resolved_threads
from imglab.running.memory import check_memory
from imglab.running.tracking import check_tracker
from imglab.store import model_folder


@dataclass(frozen=True)
class Experiment:
    """A config and everything that it builds: ready to run, nothing written yet.

    models, bases  one model and what it starts from, or several that take turns
    """

    config: RunConfig
    modality: Modality
    models: Sequence[GenerativeModel]
    bases: Sequence[GenerativeModel | None]
    regime: BoundRegime
    curator: curation.Curator | None
    remedies: Sequence[Remedy] = ()

    @property
    def lineage(self) -> Lineage:
        """Which model each generation is, and whose weights it starts from."""
        return Lineage(self.models, self.config.start, self.bases, self.remedies)

    @property
    def samples(self) -> int:
        """How many samples a generation leaves in the pool, if its curator keeps a fixed share."""
        return self.config.samples or len(self.modality.real("train"))

    @property
    def drawn(self) -> int:
        """How many samples each generation draws."""
        return drawn_samples(self.config, self.samples)

    def measure(self, cache: Path | None = None) -> Measure:
        """Return what scores the generations."""
        return build_measure(self.config.measure, self.modality, cache)

    def load_model(self, path: Path) -> GenerativeModel:
        """Open the `model/` folder of a generation."""
        if not model_folder.is_known_model(path):
            return type(self.models[0]).load(path)
        model: GenerativeModel = model_folder.load_model(path)
        return model


def build(config: RunConfig, where: str) -> Experiment:
    """Build what a config names; InputError holds every problem that its data show."""
    experiment = _build(config, where, foreign={})
    assert experiment is not None
    return experiment


Look: TypeAlias = Callable[[Experiment], None]


def check(config: RunConfig, where: str, look: Look | None = None) -> list[str]:
    """Check a config's data without importing what it names of other packages.

    Return what stays unchecked; `look` gets what was built, if nothing of it is another package's.
    """
    foreign = plug_ins(config)
    experiment = _build(config, where, foreign)
    if experiment is not None and look is not None:
        look(experiment)

    unchecked = [f"{key} ({kind})" for key, kind in foreign.items()]
    if _has_foreign_data(foreign):
        unchecked.append("the data, the model and the sizes that depend on them")
    return unchecked


def check_each(
    configs: Mapping[str, RunConfig], where: str, key: str, look: Look | None = None
) -> list[str]:
    """Check every chain, or arm, that a config holds under `key`, as `check` does."""
    problems = SharedProblems(where, key, len(configs))
    unchecked: list[str] = []
    for name, config in configs.items():
        place = f"{where}: {key}.{name}"
        keys = problems.run(f"{key}.{name}", place, partial(check, config, place, look))
        unchecked += (f"{key}.{name}.{inner}" for inner in keys or ())
    problems.finish()
    return unchecked


def _build(config: RunConfig, where: str, foreign: Mapping[str, str]) -> Experiment | None:
    """Build everything that needs no import of another package; None if something does.

    foreign  keys of the config that name something of another package, with what they name
    """
    check_memory({"": config}, where)
    torch.set_num_threads(resolved_threads(config))
    collector = ProblemCollector(where)
    regime: BoundRegime | None = None
    curator: curation.Curator | None = None
    modality: Modality | None = None
    models: list[GenerativeModel] | None = None
    bases: list[GenerativeModel | None] | None = None
    remedies: list[Remedy] | None = None

    # What depends on nothing else is built first, so that all its problems are found.
    if "regime" not in foreign:
        regime = collector.run(partial(build_regime, config))
    if "curate" not in foreign:
        curator = collector.run(partial(build_curator, config))
    if not _has_foreign_data(foreign):
        modality = collector.run(partial(build_modality, config))
    if KEY not in foreign:
        collector.run(partial(import_metrics, config.measure.metrics))
    collector.run(partial(check_tracker, config.tracker))

    if modality is not None:
        collector.run(partial(check_sizes, config, modality, regime))
        if not _has_foreign_model(foreign):
            models = collector.run(partial(build_models, config, modality))
    if modality is not None and models is not None:
        bases = collector.run(partial(_load_bases, config, models))
        collector.run(partial(check_curator, config, modality, models))
        remedies = collector.run(partial(build_remedies, config.remedy, foreign, models))
    collector.finish()

    if modality is None or models is None or bases is None or regime is None:
        return None
    return Experiment(config, modality, models, bases, regime, curator, remedies or ())


def _has_foreign_data(foreign: Mapping[str, str]) -> bool:
    return "modality" in foreign or "modality.extractor" in foreign


def _has_foreign_model(foreign: Mapping[str, str]) -> bool:
    return any(key == "model" or key.startswith("model.") for key in foreign)


def build_modality(config: RunConfig) -> Modality:
    """Build the modality that a config names."""
    section = config.modality
    if isinstance(section, PlugIn):
        plug_in = kinds.located(section, "imglab.modalities")
        return kinds.build_plug_in(plug_in, Modality, "modality")
    return kinds.build(section, kinds.MODALITIES, Modality)


def build_models(config: RunConfig, modality: Modality) -> list[GenerativeModel]:
    """Build the model that a config names, for its modality; several if generations take turns."""
    section = config.model
    if isinstance(section, AlternatingSettings):
        return build_members(section.models, modality)
    if isinstance(section, PopulationSettings):
        members = build_members(section.models, modality)
        return [Population(members, section.weights, in_parts=section.train_on == "parts")]
    return [build_model(section, modality)]


def build_members(
    sections: Sequence[Section | PlugIn], modality: Modality
) -> list[GenerativeModel]:
    """Build the models of a mixed chain."""
    collector = ProblemCollector()
    members: list[GenerativeModel] = []

    for number, section in enumerate(sections):
        try:
            members.append(build_model(section, modality))
        except InputError as error:
            collector.add_error(_of_member(error, number))
    collector.finish()

    if len({member.conditional for member in members}) > 1:
        what = "some models need the classes of samples, which the others do not give to theirs"
        raise InputError(Problem("model.models", what, "make all class-conditional, or none"))
    return members


def _of_member(error: InputError, number: int) -> InputError:
    """Return the error of a member, which then names the member as the config does."""
    problems = [
        replace(each, where=each.where.replace("model", f"model.models.{number}", 1))
        for each in error.problems
    ]
    return InputError(problems, [error])


def build_model(section: Section | PlugIn, modality: Modality) -> GenerativeModel:
    """Build one model."""
    if not isinstance(section, PlugIn):
        return kinds.build(section, kinds.MODELS, GenerativeModel, modality)

    plug_in = kinds.located(section, "imglab.models")
    model = kinds.build_plug_in(plug_in, GenerativeModel, "model", modality=modality)
    model.check_loadable()
    model_folder.know_model(model)
    return model


def build_curator(config: RunConfig) -> curation.Curator | None:
    """Return the curator that a config names, with its keys bound."""
    section = config.curate
    if section is None:
        return None
    if isinstance(section, PlugIn):
        bound: curation.Curator = kinds.bind_function(section, "curate", {"samples", "context"})
        return bound

    keys = section.model_dump(exclude={"kind", "oversample"})
    return partial(getattr(curation, section.kind), **keys)


def build_regime(config: RunConfig) -> BoundRegime:
    """Return the regime that a config names, with its keys bound."""
    return kinds.bound_regime(config.regime)


def _load_bases(
    config: RunConfig, models: Sequence[GenerativeModel]
) -> list[GenerativeModel | None]:
    return [_load_base(config, model) for model in models]


def _load_base(config: RunConfig, model: GenerativeModel) -> GenerativeModel | None:
    """Return the weights that a model's first turn starts from; None: it starts from scratch."""
    if config.start == "scratch":
        if config.base is not None:
            remedy = "leave it out, or choose start: base"
            raise InputError(Problem("base", "start: scratch uses no base", remedy))
        return None

    if config.base is None:
        if len({member.pretrained is not None for member in model.members}) > 1:
            what = "a population starts from pretrained weights of all its members, or of none"
            remedy = "use start: scratch, or pretrained networks for all"
            raise InputError(Problem("model.models", what, remedy))
        return model.pretrained

    return _open_base(config.base, model)


def _open_base(base: str, model: GenerativeModel) -> GenerativeModel:
    remedy = "give a model/ folder of a generation"
    path = Path(base)
    if not path.is_dir():
        raise InputError(missing_path(base, "base", remedy))

    try:
        with naming_damage(path):
            start = type(model).load(path)
    except InputError as error:
        what = f"{base!r} {error.problems[0].what}"
        raise InputError(Problem("base", what, remedy)) from error
    except KeyError as error:  # a plug-in's own `load` looks for what another kind's folder lacks
        what = f"{base!r} does not open as a {type(model).__name__}: it lacks {error}"
        raise InputError(Problem("base", what, remedy)) from error

    try:
        return model.check_start(start)
    except ValueError as error:
        raise InputError(Problem("base", f"cannot start from {base!r}: {error}", remedy)) from error
