"""Observers of a chain: they see each event before the caller does, and pass it on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import TypeAlias, TypeVar

from filelock import FileLock

from imglab import distributed
from imglab.config.merge import flattened
from imglab.config.schema import RunConfig
from imglab.generation import Generation
from imglab.progress import Progress, Stage
from imglab.running.cache import RunCache
from imglab.running.tracking import Tracker
from imglab.store.layout import count_finished, generation_folder

T = TypeVar("T")

Events: TypeAlias = Generator[Progress | Generation, None, None]

Observer: TypeAlias = Callable[[Events], Events]
"""Takes the events of a chain and yields the same events. Whoever stops in the middle of a fit
closes what it yields; an observer then closes the chain, which keeps the state of the fit."""


def watched(events: Events, observers: Iterable[Observer]) -> Events:
    """Let observers watch the events of a chain, the first of them first."""
    for observer in observers:
        events = observer(events)
    return events


def tracking(config: RunConfig, run: Path) -> Observer:
    """Return an observer that logs each new generation to the config's tracker.

    It logs the loss of the fit, the metrics and the picture.
    """

    def watch(events: Events) -> Events:
        assert config.tracker is not None
        finished_before = count_finished(run)
        settings = dict(flattened(config.model_dump(mode="json")))
        tracker = Tracker(config.tracker, run, config.name, settings)
        current = finished_before
        warned = False

        try:
            with closing(events):
                for event in events:
                    if isinstance(event, Progress):
                        tracker.log_loss(current, event)
                    elif event.index >= finished_before:
                        tracker.log(event.metrics)
                        for picture in sorted(generation_folder(run, event.index).glob("*.png")):
                            tracker.log_picture(event.index, picture)
                        current = event.index + 1

                    if tracker.failure and not warned:
                        warnings.warn(tracker.failure, stacklevel=2)
                        warned = True
                    yield event
        finally:
            tracker.close()

    return watch


def _logged(waiting: Stage[T], log: Callable[..., None]) -> Stage[T]:
    """Log the beginning and the end of a wait, if there is one."""
    waited = False
    while True:
        try:
            progress = next(waiting)
        except StopIteration as end:
            if waited:
                log(event="waited")
            result: T = end.value
            return result
        if not waited:
            log(event="waits", text="for the model of generation 0, which another run is fitting")
            waited = True
        yield progress


def _release(lock: FileLock | None) -> None:
    """Release a lock, if there is one and it is held."""
    if lock is not None:
        lock.release()


def keeping_generation0(cache: RunCache, run: Path, log: Callable[..., None]) -> Observer:
    """Return an observer that keeps generation 0's model for runs that have the same one.

    Where another run is fitting that model, it waits, and the chain begins with a copy.

    log  takes an event for events.jsonl
    """

    def watch(events: Events) -> Events:
        with closing(events):
            # Processes of one run would wait for each other.
            fitting = None
            if distributed.world_size() == 1 and count_finished(run) == 0:
                fitting = yield from _logged(cache.wait_to_fit(run), log)

            try:
                for event in events:
                    if isinstance(event, Generation) and event.index == 0:
                        cache.keep_first(run)
                        _release(fitting)
                    yield event
            finally:
                _release(fitting)

    return watch
