"""A run: a config, and the directory in which its chain is made and goes on."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from imglab import distributed
from imglab.config import kinds
from imglab.config.load import Changes, load_config, load_tree
from imglab.config.schema import RunConfig, SideBySideConfig
from imglab.config.sections import KeepSettings
from imglab.constructors import renamed_arguments
from imglab.errors import InputError, Problem
from imglab.generation import Generation
from imglab.loop import chain_events
from imglab.progress import Progress, Stage, closed_at_exit
from imglab.running.autotune import autotune
from imglab.running.build import build, build_models
from imglab.running.cache import RunCache
from imglab.running.environment import (
    describe_environment,
    described_changes,
    resolved_threads,
)
from imglab.running.keeping import check_goes_on, keeping
from imglab.running.observers import Events, Observer, keeping_generation0, tracking, watched
from imglab.running.previews import previewing
from imglab.running.resume import RUNS, check_extractor, resolve
from imglab.store import files, hashes
from imglab.store.disk import DiskStore
from imglab.store.faults import check_run
from imglab.store.inputs import check_inputs
from imglab.store.layout import count_finished
from imglab.store.model_card import Origin
from imglab.store.sealed_config import (
    as_begun,
    config_hash,
    former_names,
    write_config,
    write_places,
)
from imglab.store.views import HasView


@renamed_arguments(shelf="cache")
class Run(HasView):
    """A run directory and the experiment that continues it.

    The constructor checks everything and writes nothing.
    """

    def __init__(
        self,
        config: RunConfig,
        out: Path | None = None,
        *,
        where: str = "config",
        cache: RunCache | None = None,
    ) -> None:
        """Check `config`, its data and the directory `out` (default: runs/<name>).

        where  what messages call the config
        cache  where runs that have something in common compute it once
        """
        self._cache = cache
        self.notes: list[str] = []
        self.folder = out or RUNS / config.name
        self.experiment = build(resolve(config, self.folder, where), where)

    @classmethod
    def from_file(
        cls, path: Path | str, out: Path | str | None = None, changes: Changes = ()
    ) -> Run:
        """Check the config at `path`, or of the preset that it names; raises InputError.

        changes  `key.sub=value` texts, or values by dotted key
        """
        return cls._of(load_config(Path(path), changes), out, str(path))

    @classmethod
    def from_dict(
        cls, config: Mapping[str, Any], out: Path | str | None = None, changes: Changes = ()
    ) -> Run:
        """Check a config that is a mapping, as YAML would hold it; raises InputError.

        Its name is `run` unless it says another; `changes` are those of `from_file`.
        """
        tree = {"name": "run", **config}
        return cls._of(load_tree(tree, changes, "config"), out, "config")

    @classmethod
    def _of(cls, config: RunConfig | SideBySideConfig, out: Path | str | None, where: str) -> Run:
        if not isinstance(config, RunConfig):
            raise InputError(Problem(where, "holds several chains", "use imglab.SideBySide"))
        return cls(config, Path(out) if out else None, where=where)

    def generations(self) -> Iterator[Generation]:
        """Run the chain, or the rest of it, and yield each generation as it is finished."""
        return (event for event in self.events() if isinstance(event, Generation))

    def events(self) -> Generator[Progress | Generation, None, None]:
        """Run the chain, or the rest of it.

        Yield Progress within stages and a Generation after each. Closing the generator in the
        middle of a fit keeps the state of the fit; at the end of the program it is closed.
        """
        return closed_at_exit(self._events())

    def _events(self) -> Generator[Progress | Generation, None, None]:
        # Another run may have been built in this process since.
        torch.set_num_threads(resolved_threads(self.experiment.config))

        with self._lock() as store:
            self._resolve()
            self._record(store)
            yield from self._autotune(store)
            self._prepare(store)
            yield from watched(self._chain(store), self._observers(store))

    def _lock(self) -> DiskStore:
        """Return the store of the run directory, whose lock it holds as a context manager."""
        # No process may create the folder before all have looked at it.
        distributed.barrier()
        files.make_folder(self.folder)
        return DiskStore(self.folder, load_model=self.experiment.load_model)

    def _resolve(self) -> None:
        """Fix what the config leaves open, and check the directory: nobody else can write now."""
        experiment = self.experiment
        with distributed.main_first():
            config = resolve(experiment.config, self.folder, str(self.folder))
            check_run(self.folder)

        # Another process may have begun this run since it was built here, and measured `auto`.
        if config.model != experiment.config.model:
            experiment = replace(experiment, models=build_models(config, experiment.modality))
        self.experiment = replace(experiment, config=config)
        check_goes_on(self.experiment, self.folder, count_finished(self.folder))

    def _record(self, store: DiskStore) -> None:
        """Write down what the run is made with: config.yaml and environment.json."""
        experiment = self.experiment
        config = experiment.config.model_copy(update={"samples": experiment.samples})
        present = config
        config, places = as_begun(self.folder, config)

        former = former_names(config, present)
        environment = describe_environment(experiment.modality, experiment.bases, former)
        origin = _describe_origin(config, environment)
        # What is refused changes nothing. On a first start config.yaml is the mark of a run.
        check_inputs(self.folder, environment)
        write_config(self.folder, config)
        with distributed.main_first():
            store.begin(config=config_hash(config), environment=environment, origin=origin)
            if experiment.modality.data_line:
                store.log(event="data", text=experiment.modality.data_line)
        write_places(self.folder, places)
        self.notes = described_changes(store.environment_changes)

    def _autotune(self, store: DiskStore) -> Stage[None]:
        """Measure what is left to `auto`, and put it down in config.yaml."""
        before = self.experiment.config
        self.experiment = yield from autotune(self.experiment, store, self._cache)
        config = self.experiment.config
        if config == before:
            return

        config = config.model_copy(update={"samples": self.experiment.samples})
        config, _ = as_begun(self.folder, config)
        write_config(self.folder, config)
        store.settle(config_hash(config))

    def _prepare(self, store: DiskStore) -> None:
        """Fill shared/ with what all generations use, such as the extractor's weights."""
        if self._cache is not None:
            self._cache.lend(self.folder, self.experiment)

        experiment = self.experiment
        shared = self.folder / "shared"
        with store.timed(stage="prepare"), distributed.main_first():
            files.make_folder(shared)
            hashes.discard_unlisted(shared)
            experiment.modality.prepare(shared)
            hashes.complete(shared)
            store.check_shared(count_finished(self.folder))
        check_extractor(self.folder, experiment.config, experiment.modality)

    def _chain(self, store: DiskStore) -> Events:
        experiment = self.experiment
        config = experiment.config
        return chain_events(
            experiment.modality,
            experiment.models,
            experiment.regime,
            generations=config.generations,
            samples=experiment.drawn,
            curator=experiment.curator,
            start=config.start,
            base=experiment.bases,
            remedies=experiment.remedies,
            shown=config.shown,
            seed=config.seed,
            pictures=config.pictures,
            checkpoint_every=config.checkpoint_every,
            measure=experiment.measure(cache=self.folder / "shared"),
            store=store,
        )

    def _observers(self, store: DiskStore) -> list[Observer]:
        """Return who watches the chain's events, the first to see each of them first."""
        observers: list[Observer] = [store.event_log.watch]
        if self.experiment.config.keep != KeepSettings():
            observers.append(keeping(self.experiment.config, self.folder, store))
        # Nobody looks at the runs of a study while they go on.
        if self._cache is None:
            modality = self.experiment.modality
            config = self.experiment.config
            notes = self.notes.append
            observers.append(previewing(modality, self.folder, config.shown, config.seed, notes))
        if self.experiment.config.tracker is not None and distributed.is_main():
            observers.append(tracking(self.experiment.config, self.folder))
        if self._cache is not None:
            observers.append(keeping_generation0(self._cache, self.folder, store.log))
        return observers


def _describe_origin(config: RunConfig, environment: Mapping[str, Any]) -> Origin:
    """Return what the models' cards say of the chain."""
    modality = getattr(config.modality, "kind", "")
    regime = getattr(config.regime, "kind", "")
    train = environment["data"]["train"][:16]
    remedies = [f", remedy `{section.kind}`" for section in config.remedy]
    first = Origin.first
    if not kinds.bound_regime(config.regime).begins_with_real():
        first = f"under regime `{regime}`"
    return Origin(
        data=f"{modality} data (sha256 `{train}`), seed {config.seed}",
        rules=f"regime `{regime}`, start `{config.start}`{''.join(remedies)}",
        first=first,
    )
