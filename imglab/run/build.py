"""From a validated config to built objects."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from imglab import curation, regimes
from imglab.config import kinds
from imglab.config.load import plug_ins
from imglab.config.schema import RunConfig
from imglab.config.section import PlugIn, Section
from imglab.errors import InputError, Problem, ProblemCollector
from imglab.measure import Measure
from imglab.mixed.population import Population
from imglab.mixed.settings import AlternatingSettings, PopulationSettings
from imglab.modality import Modality
from imglab.model import GenerativeModel, naming_damage
from imglab.run.checks import check_curator, check_sizes, drawn_samples
from imglab.run.environment import available_cores
from imglab.run.tracking import check_tracker
from imglab.store import model_folder


@dataclass(frozen=True)
class Experiment:
    """A config and all that it builds: ready to run, nothing written yet.

    models, bases  one model and what it starts from, or several that take turns
    """

    config: RunConfig
    modality: Modality
    models: Sequence[GenerativeModel]
    bases: Sequence[GenerativeModel | None]
    regime: regimes.Regime
    curator: curation.Curator | None

    @property
    def samples(self) -> int:
        """How many samples each generation leaves in the pool, where a curator keeps a fixed share of them."""
        return self.config.samples or len(self.modality.real("train"))

    @property
    def drawn(self) -> int:
        """How many samples each generation draws."""
        return drawn_samples(self.config, self.samples)

    def measure(self, cache: Path | None = None) -> Measure:
        """Return what scores the generations."""
        return Measure(self.modality, **self.config.measure.model_dump(), cache=cache)

    def load_model(self, path: Path) -> GenerativeModel:
        """Open the `model/` folder of a generation."""
        if model_folder.is_known_model(path):
            found: GenerativeModel = model_folder.load_model(path)
            return found
        return type(self.models[0]).load(path)


def build(config: RunConfig, where: str) -> Experiment:
    """Build what a config names; InputError holds every problem that its data show."""
    experiment = _build(config, where, foreign={})
    assert experiment is not None
    return experiment


def check(config: RunConfig, where: str) -> list[str]:
    """Check a config's data without importing what it names of other packages; return what stays unchecked."""
    foreign = plug_ins(config)
    _build(config, where, foreign)
    unchecked = [f"{key} ({kind})" for key, kind in foreign.items()]
    if {"modality", "modality.extractor"} & set(foreign):
        unchecked.append("the data, the model and the sizes that depend on them")
    return unchecked


def check_each(configs: Mapping[str, RunConfig], where: str, key: str) -> list[str]:
    """Check every chain, or arm, of a config that holds them under `key`, as `check` does."""
    attempts = ProblemCollector()
    found = {
        name: attempts.run(partial(check, config, f"{where}: {key}.{name}"))
        for name, config in configs.items()
    }
    attempts.finish()
    return [
        f"{key}.{name}.{unchecked}" for name, those in found.items() for unchecked in those or ()
    ]


def _build(config: RunConfig, where: str, foreign: Mapping[str, str]) -> Experiment | None:
    torch.set_num_threads(resolved_threads(config))
    attempts, models, bases, modality, regime, curator = (
        ProblemCollector(where),
        None,
        None,
        None,
        None,
        None,
    )
    if "regime" not in foreign:
        regime = attempts.run(lambda: build_regime(config))
    if "curate" not in foreign:
        curator = attempts.run(lambda: build_curator(config))
    if not {"modality", "modality.extractor"} & set(foreign):
        modality = attempts.run(lambda: build_modality(config))
    attempts.run(lambda: check_tracker(config.tracker))
    if modality is not None:
        attempts.run(lambda: check_sizes(config, modality))
        if not any(key.startswith("model") and key[5:6] in ("", ".") for key in foreign):
            models = attempts.run(lambda: build_models(config, modality))
    if models is not None and modality is not None:
        bases = attempts.run(lambda: [_load_base(config, model) for model in models])
        attempts.run(lambda: check_curator(config, modality, models))
    attempts.finish()
    if modality is None or models is None or bases is None or regime is None:
        return None
    return Experiment(config, modality, models, bases, regime, curator)


def build_modality(config: RunConfig) -> Modality:
    """Build the modality that a config names."""
    section = config.modality
    if isinstance(section, PlugIn):
        return kinds.build_plug_in(
            kinds.located(section, "imglab.modalities"), Modality, "modality"
        )
    return kinds.build(section, kinds.MODALITIES, Modality)


def build_models(config: RunConfig, modality: Modality) -> list[GenerativeModel]:
    """Build the model that a config names, for its modality; several where generations take turns."""
    section = config.model
    if isinstance(section, AlternatingSettings):
        return build_members(section.models, modality)
    if isinstance(section, PopulationSettings):
        return [Population(build_members(section.models, modality), section.weights)]
    return [build_model(section, modality)]


def build_members(
    sections: Sequence[Section | PlugIn], modality: Modality
) -> list[GenerativeModel]:
    """Build the models of a mixed chain."""
    attempts, found = ProblemCollector(), []
    for at, section in enumerate(sections):
        try:
            found.append(build_model(section, modality))
        except InputError as error:
            for problem in error.problems:
                key = problem.where.replace("model", f"model.models.{at}", 1)
                attempts.add(Problem(key, problem.what, problem.remedy))
    attempts.finish()
    if len({model.conditional for model in found}) > 1:
        what = "some models need the classes of samples, which others do not give to theirs"
        raise InputError(Problem("model.models", what, "make all class-conditional, or none"))
    return found


def build_model(section: Section | PlugIn, modality: Modality) -> GenerativeModel:
    """Build one model."""
    if isinstance(section, PlugIn):
        found = kinds.located(section, "imglab.models")
        added = kinds.build_plug_in(found, GenerativeModel, "model", modality=modality)
        model_folder.know_model(added)
        return added
    return kinds.build(section, kinds.MODELS, GenerativeModel, modality)


def build_curator(config: RunConfig) -> curation.Curator | None:
    """Return the curator that a config names, with its keys bound."""
    section = config.curate
    if section is None:
        return None
    if isinstance(section, PlugIn):
        bound: curation.Curator = kinds.bind_function(section, "curate", {"samples", "context"})
        return bound
    return partial(
        getattr(curation, section.kind), **section.model_dump(exclude={"kind", "oversample"})
    )


def build_regime(config: RunConfig) -> regimes.Regime:
    """Return the regime that a config names, with its keys bound."""
    section = config.regime
    if isinstance(section, PlugIn):
        bound: regimes.Regime = kinds.bind_function(
            section, "regime", {"sizes", "generation", "seed"}
        )
        return bound
    keys = section.model_dump(exclude={"kind"})
    return partial(getattr(regimes, section.kind), **keys)


def resolved_threads(config: RunConfig) -> int:
    """Return the thread count, `auto` being OMP_NUM_THREADS, or one for each processor that this process may use."""
    if config.threads != "auto":
        return config.threads
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdecimal() and int(told) else available_cores()


def _load_base(config: RunConfig, model: GenerativeModel) -> GenerativeModel | None:
    some = {member.pretrained is not None for member in model.members}
    if config.base is None and config.start != "scratch" and len(some) > 1:
        what = "only some members have pretrained weights, and a population starts from those of all or of none"
        raise InputError(
            Problem("model.models", what, "use start: scratch, or pretrained networks for all")
        )
    if config.base is None:
        return None if config.start == "scratch" else model.pretrained
    if config.start == "scratch":
        raise InputError(
            Problem("base", "start: scratch uses no base", "leave it out, or choose start: base")
        )
    path = Path(config.base)
    if not path.is_dir():
        raise InputError(
            Problem(
                "base",
                f"there is no folder {config.base!r}",
                "give a model/ folder of a generation",
            )
        )
    remedy = "give a model/ folder of a generation"
    try:
        with naming_damage(path):
            start = type(model).load(path)
        return model.check_start(start)
    except InputError as error:
        what = f"{config.base!r} {error.problems[0].what}"
        raise InputError(Problem("base", what, remedy)) from error
    except ValueError as error:
        what = f"a {type(model).__name__} cannot start from {config.base!r}: {error}"
        raise InputError(Problem("base", what, remedy)) from error
