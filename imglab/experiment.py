"""From a validated config to built objects, and from those to a run in its directory."""

from __future__ import annotations

import os
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from imglab import curation, files, hub, plugins, processes, regimes, seals
from imglab.cards import Origin
from imglab.choosing import choices, left_open, settled, with_values
from imglab.config import (
    RunConfig,
    differences,
    flattened,
    load_config,
    plug_ins,
)
from imglab.environment import available_cores, describe_environment
from imglab.errors import Attempts, InputError, Problem
from imglab.loop import Generation, chain_events
from imglab.measure import Measure
from imglab.mixed.population import Population, has_density
from imglab.mixed.settings import AlternatingSettings, PopulationSettings
from imglab.modality import Choice, GenerativeModel, Modality, Progress
from imglab.run_config import HARMLESS, config_hash, read_sealed, write_config
from imglab.runs import count_finished
from imglab.sections import (
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
from imglab.settings import AUTO, PlugIn, Section
from imglab.sharing import Shelf
from imglab.store import DiskStore
from imglab.tracking import Tracker, check_tracker
from imglab.verify import check_run

RUNS = Path("runs")


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
        if plugins.is_known_model(path):
            found: GenerativeModel = plugins.load_model(path)
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
    attempts = Attempts()
    found = {name: attempts.run(partial(check, config, f"{where}: {key}.{name}")) for name, config in configs.items()}
    attempts.finish()
    return [f"{key}.{name}.{unchecked}" for name, those in found.items() for unchecked in those or ()]


def _build(config: RunConfig, where: str, foreign: Mapping[str, str]) -> Experiment | None:
    torch.set_num_threads(resolved_threads(config))
    attempts, models, bases, modality, regime, curator = Attempts(where), None, None, None, None, None
    if "regime" not in foreign:
        regime = attempts.run(lambda: build_regime(config))
    if "curate" not in foreign:
        curator = attempts.run(lambda: build_curator(config))
    if not {"modality", "modality.extractor"} & set(foreign):
        modality = attempts.run(lambda: build_modality(config))
    attempts.run(lambda: check_tracker(config.tracker))
    if modality is not None:
        attempts.run(lambda: _check_sizes(config, modality))
        if not any(key.startswith("model") and key[5:6] in ("", ".") for key in foreign):
            models = attempts.run(lambda: build_models(config, modality))
    if models is not None and modality is not None:
        bases = attempts.run(lambda: [_load_base(config, model) for model in models])
        attempts.run(lambda: _check_curator(config, modality, models))
    attempts.finish()
    if modality is None or models is None or bases is None or regime is None:
        return None
    return Experiment(config, modality, models, bases, regime, curator)


def build_modality(config: RunConfig) -> Modality:
    """Build the modality that a config names."""
    section = config.modality
    if isinstance(section, PlugIn):
        return plugins.build_plug_in(plugins.located(section, "imglab.modalities"), Modality, "modality")
    return plugins.build(section, plugins.MODALITIES, Modality)


def build_models(config: RunConfig, modality: Modality) -> list[GenerativeModel]:
    """Build the model that a config names, for its modality; several where generations take turns."""
    section = config.model
    if isinstance(section, AlternatingSettings):
        return build_members(section.models, modality)
    if isinstance(section, PopulationSettings):
        return [Population(build_members(section.models, modality), section.weights)]
    return [build_model(section, modality)]


def build_members(sections: Sequence[Section | PlugIn], modality: Modality) -> list[GenerativeModel]:
    """Build the models of a mixed chain."""
    attempts, found = Attempts(), []
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
        found = plugins.located(section, "imglab.models")
        added = plugins.build_plug_in(found, GenerativeModel, "model", modality=modality)
        plugins.know_model(added)
        return added
    return plugins.build(section, plugins.MODELS, GenerativeModel, modality)


def build_curator(config: RunConfig) -> curation.Curator | None:
    """Return the curator that a config names, with its keys bound."""
    section = config.curate
    if section is None:
        return None
    if isinstance(section, PlugIn):
        bound: curation.Curator = plugins.bind_function(section, "curate", {"samples", "context"})
        return bound
    return partial(getattr(curation, section.kind), **section.model_dump(exclude={"kind", "oversample"}))


def drawn_samples(config: RunConfig, samples: int) -> int:
    """Return how many samples a generation draws so that `samples` are left, as far as that can be known."""
    section = config.curate
    if isinstance(section, CurationSection) and section.oversample is not None:
        return round(samples * section.oversample)
    return curation.drawn_size(samples, section.keep) if isinstance(section, RankingSection) else samples


def build_regime(config: RunConfig) -> regimes.Regime:
    """Return the regime that a config names, with its keys bound."""
    section = config.regime
    if isinstance(section, PlugIn):
        bound: regimes.Regime = plugins.bind_function(section, "regime", {"sizes", "generation", "seed"})
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
        raise InputError(Problem("model.models", what, "use start: scratch, or pretrained networks for all"))
    if config.base is None:
        return None if config.start == "scratch" else model.pretrained
    if config.start == "scratch":
        raise InputError(Problem("base", "start: scratch uses no base", "leave it out, or choose start: base"))
    path = Path(config.base)
    if not path.is_dir():
        raise InputError(Problem("base", f"there is no folder {config.base!r}", "give a model/ folder of a generation"))
    try:
        return model.check_start(type(model).load(path))
    except hub.DAMAGED as error:
        what = f"{config.base!r} does not open as a {type(model).__name__}: {error}"
        raise InputError(Problem("base", what, "give a model/ folder of a generation")) from None


def _check_sizes(config: RunConfig, modality: Modality) -> None:
    real, test = len(modality.real("train")), len(modality.real("test"))
    left = config.samples or real
    drawn = drawn_samples(config, left)
    if isinstance(config.curate, RankingSection):
        left = curation.kept_size(drawn, config.curate.keep)
    problems = []
    if not left:
        problems.append(Problem("curate.keep", f"keeps none of {drawn} samples", "keep more, or raise samples"))
    if test < 2:
        problems.append(
            Problem("modality", f"metrics need at least 2 test samples, there are {test}", "keep more apart")
        )
    reference = test if config.measure.reference == "test" else real
    for key in ("precision_recall_k", "density_coverage_k"):
        k, fewest = getattr(config.measure, key), min(reference, drawn)
        if k >= fewest:
            what = f"{k} neighbours need more than {k} samples on both sides, there are {fewest}"
            problems.append(Problem(f"measure.{key}", what, f"at most {fewest - 1}" if fewest > 1 else "add samples"))
    problems += _check_regime(config, real, left, modality.fresh_available())
    if problems:
        raise InputError(problems)


def _check_regime(config: RunConfig, real: int, left: int, available: int | None) -> Iterator[Problem]:
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
        what = f"{len(later)} generations need {fresh} fresh real samples, {available} are kept apart"
        remedy = "keep more apart (modality.n_fresh)" + (
            ", or use real: resampled" if isinstance(regime, MixSettings) else ""
        )
        yield Problem("regime.real" if isinstance(regime, MixSettings) else "regime.fresh", what, remedy)


def _check_curator(config: RunConfig, modality: Modality, models: Sequence[GenerativeModel]) -> None:
    """Raise InputError where a curator needs what the data or the model do not have."""
    section = config.curate
    for kind, ability, what in (
        (ConfidenceCuration, "confidence", "needs confidence of the data, which these do not have"),
        (DropWatermarkedCuration, "watermark_scores", "needs watermark scores of the data, which these do not have"),
        (HumanCuration, "export", "shows samples to a person, and these have no form for that"),
    ):
        if isinstance(section, kind) and ability not in modality.abilities:
            raise InputError(Problem("curate.kind", what, "choose oracle, diversity or duplicates"))
    if isinstance(section, DensityCuration):
        blind = [type(member).__name__ for member in models[0].members if not has_density(member)]
        if blind:
            what = f"generation 0's model knows no density: {', '.join(blind)}"
            raise InputError(Problem("curate.kind", what, "choose oracle or confidence"))


class Run:
    """A run directory and what continues it. Making one checks everything and writes nothing."""

    def __init__(
        self, config: RunConfig, out: Path | None = None, *, where: str = "config", shelf: Shelf | None = None
    ) -> None:
        """Check `config`, its data and the directory `out` (default: runs/<name>).

        shelf  where runs that have something in common make it once
        """
        self._shelf = shelf
        self.folder = out or RUNS / config.name
        self.experiment = build(resolve(config, self.folder, where), where)

    @classmethod
    def from_file(cls, path: Path | str, out: Path | str | None = None, changes: Sequence[str] = ()) -> Run:
        """Check the config at `path` with `key.sub=value` changes; raises InputError."""
        config = load_config(Path(path), changes)
        if not isinstance(config, RunConfig):
            raise InputError(Problem(str(path), "holds several chains", "use imglab.SideBySide"))
        return cls(config, Path(out) if out else None, where=str(path))

    def events(self) -> Generator[Progress | Generation, None, None]:
        """Run the chain, or the rest of it: yield Progress within stages and a Generation after each.

        Closing it in the middle of a fit keeps the fit's state.
        """
        experiment, config = self.experiment, self.experiment.config
        torch.set_num_threads(resolved_threads(config))  # another run may have been built since
        processes.wait()  # until all have looked at the folder as it was
        files.make_folder(self.folder)
        with DiskStore(self.folder, load_model=experiment.load_model) as store:
            with processes.leader_first():  # again, now that nobody else can write
                config = resolve(config, self.folder, str(self.folder))
                check_run(self.folder)
            if config.model != experiment.config.model:  # another process has begun this run since
                models = build_models(config, experiment.modality)
                experiment = replace(experiment, models=models)
            experiment = replace(experiment, config=config)
            experiment = self.experiment = self._chosen(experiment, store)
            config = experiment.config
            resolved = config.model_copy(update={"samples": experiment.samples})
            write_config(self.folder, resolved)
            environment = describe_environment(experiment.modality, experiment.bases)
            data = f"{_kind(config.modality)} data (sha256 `{environment['data']['train'][:16]}`), seed {config.seed}"
            origin = Origin(data, rules=f"regime `{_kind(config.regime)}`, start `{config.start}`")
            with processes.leader_first():
                store.begin(config=config_hash(resolved), environment=environment, origin=origin)
            shared = self.folder / "shared"
            if self._shelf:
                self._shelf.lend(self.folder, experiment)
            with store.timed(stage="prepare"), processes.leader_first():
                files.make_folder(shared)
                seals.discard_unlisted(shared)
                experiment.modality.prepare(shared)
                seals.complete(shared)
                store.check_shared(count_finished(self.folder))
            events = store.logged(
                chain_events(
                    experiment.modality,
                    experiment.models,
                    experiment.regime,
                    generations=config.generations,
                    samples=experiment.drawn,
                    curator=experiment.curator,
                    start=config.start,
                    base=experiment.bases,
                    shown=config.shown,
                    seed=config.seed,
                    checkpoint_every=config.checkpoint_every,
                    measure=experiment.measure(cache=shared),
                    store=store,
                )
            )
            for event in self._tracked(events):
                if self._shelf and isinstance(event, Generation) and event.index == 0:
                    self._shelf.keep_first(self.folder)
                yield event

    def _chosen(self, experiment: Experiment, store: DiskStore) -> Experiment:
        """Measure what the model's keys leave to `auto`, once in a run; the log says why."""
        config = experiment.config
        if AUTO not in str(config.model):  # most leave nothing open
            return experiment
        found: dict[str, Choice] = {}
        with processes.leader_first():  # its clock decides for all
            if processes.leads():
                measure = partial(choices, experiment.models, experiment.modality, config.generations)
                found = measure() if self._shelf is None else self._shelf.agreed(left_open(config.model), measure)
        found = processes.told(found)
        if not found:
            return experiment
        for key, choice in found.items():
            store.log(event="auto", key=f"model.{key}", chosen=choice.value, why=choice.why)
        section = with_values(config.model, {key: choice.value for key, choice in found.items()})
        chosen = config.model_copy(update={"model": section})
        return replace(experiment, config=chosen, models=build_models(chosen, experiment.modality))

    def _tracked(self, events: Iterator[Progress | Generation]) -> Iterator[Progress | Generation]:
        """Pass events on, and the metrics of each new generation to the config's tracker, if there is one."""
        config, before = self.experiment.config, count_finished(self.folder)
        if config.tracker is None or not processes.leads():
            yield from events
            return
        settings = dict(flattened(config.model_dump(mode="json")))
        tracker, told = Tracker(config.tracker, self.folder, config.name, settings), False
        try:
            for event in events:
                if isinstance(event, Generation) and event.index >= before:
                    tracker.log(event.metrics)
                if tracker.failure and not told:
                    warnings.warn(tracker.failure, stacklevel=2)
                    told = True
                yield event
        finally:
            tracker.close()

    def _repr_html_(self) -> str:
        from imglab.report.notebook import Report

        return Report(self.folder)._repr_html_()

    def generations(self) -> Iterator[Generation]:
        """Run the chain, or the rest of it, and yield each generation as it is finished."""
        return (event for event in self.events() if isinstance(event, Generation))


def check_folder(folder: Path, mark: str, otherwise: str) -> None:
    """Raise InputError unless `folder` is free, or holds the file `mark`; `otherwise` says what it is without."""
    if folder.exists() and not folder.is_dir():
        raise InputError(Problem(str(folder), "is a file, not a directory", "choose another --out"))
    marked = (folder / mark).is_file()
    if folder.is_dir() and not marked and any(not found.name.startswith(".") for found in folder.iterdir()):
        raise InputError(Problem(str(folder), f"is not empty and {otherwise}", "choose another --out"))


def resolve(config: RunConfig, folder: Path, where: str) -> RunConfig:
    """Fix what a config leaves open (`auto`), the way that the run in `folder` fixed it if there is one.

    Raises InputError unless `folder` is free, or holds this very run.
    """
    path = folder / "config.yaml"
    check_folder(folder, path.name, "not a run directory")
    if not path.exists():
        return config.model_copy(update={"threads": resolved_threads(config)})
    stored = read_sealed(path)
    changes = differences(stored.model_dump(mode="json"), config.model_dump(mode="json"))
    found = [change for change in changes if not _harmless(*change)]
    if found:
        raise InputError(
            Problem(f"{folder}: {key}", f"the run there has {was!r}, {where} has {now!r}", "choose another --out")
            for key, was, now in found
        )
    measured = settled(config.model, stored.model)
    return config.model_copy(update={"threads": stored.threads, "samples": stored.samples, "model": measured})


def _harmless(key: str, before: Any, after: Any) -> bool:
    if key == "generations":
        return bool(after > before)
    return key in HARMLESS or after == AUTO or (key, after) == ("samples", None)


def _kind(section: Section | PlugIn) -> str:
    return str(getattr(section, "kind", ""))
