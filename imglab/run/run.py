"""From a validated config to built objects, and from those to a run in its directory."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from imglab import distributed
from imglab.config.load import load_config
from imglab.config.merge import flattened
from imglab.config.schema import RunConfig
from imglab.config.section import AUTO, PlugIn, Section
from imglab.errors import InputError, Problem
from imglab.generation import Generation
from imglab.loop import chain_events
from imglab.model import Choice
from imglab.progress import Progress
from imglab.run.autotune import choices, left_open, with_values
from imglab.run.build import Experiment, build, build_models, resolved_threads
from imglab.run.cache import RunCache
from imglab.run.environment import describe_environment
from imglab.run.resume import RUNS, resolve
from imglab.run.tracking import Tracker
from imglab.store import files, hashes
from imglab.store.disk import DiskStore
from imglab.store.layout import count_finished
from imglab.store.model_card import Origin
from imglab.store.sealed_config import config_hash, write_config
from imglab.store.verify import check_run
from imglab.store.views import HasView


class Run(HasView):
    """A run directory and what continues it. Making one checks everything and writes nothing."""

    def __init__(
        self,
        config: RunConfig,
        out: Path | None = None,
        *,
        where: str = "config",
        shelf: RunCache | None = None,
    ) -> None:
        """Check `config`, its data and the directory `out` (default: runs/<name>).

        shelf  where runs that have something in common make it once
        """
        self._shelf = shelf
        self.folder = out or RUNS / config.name
        self.experiment = build(resolve(config, self.folder, where), where)

    @classmethod
    def from_file(
        cls, path: Path | str, out: Path | str | None = None, changes: Sequence[str] = ()
    ) -> Run:
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
        distributed.barrier()  # until all have looked at the folder as it was
        files.make_folder(self.folder)
        with DiskStore(self.folder, load_model=experiment.load_model) as store:
            with distributed.main_first():  # again, now that nobody else can write
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
            with distributed.main_first():
                store.begin(config=config_hash(resolved), environment=environment, origin=origin)
            shared = self.folder / "shared"
            if self._shelf:
                self._shelf.lend(self.folder, experiment)
            with store.timed(stage="prepare"), distributed.main_first():
                files.make_folder(shared)
                hashes.discard_unlisted(shared)
                experiment.modality.prepare(shared)
                hashes.complete(shared)
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
        with distributed.main_first():  # its clock decides for all
            if distributed.is_main():
                measure = partial(
                    choices, experiment.models, experiment.modality, config.generations
                )
                found = (
                    measure()
                    if self._shelf is None
                    else self._shelf.agreed(left_open(config.model), measure)
                )
        found = distributed.broadcast(found)
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
        if config.tracker is None or not distributed.is_main():
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

    def generations(self) -> Iterator[Generation]:
        """Run the chain, or the rest of it, and yield each generation as it is finished."""
        return (event for event in self.events() if isinstance(event, Generation))


def _kind(section: Section | PlugIn) -> str:
    return str(getattr(section, "kind", ""))
