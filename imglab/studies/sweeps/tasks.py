"""A sweep as tasks of a job array: which runs are whose, and how far all of them are. No torch."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from imglab.config.schema import RunConfig
from imglab.errors import InputError, Problem
from imglab.store import layout
from imglab.store.event_log import read_events
from imglab.store.listing import is_being_written
from imglab.studies.sweeps.config import SweepConfig, run_folder

FINISHED = "finished"
ASLEEP = 900.0
"""Seconds without an event after which a run may not be running any more."""


@dataclass(frozen=True)
class Task:
    """The number-th of `count` tasks, from 1 on."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Task:
        """Return the task that `I/N` names; InputError unless 1 <= I <= N."""
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            remedy = "count from 1: --only 1/10 to --only 10/10 are all of ten tasks"
            raise InputError(Problem("--only", f"{text!r} is not a task I/N", remedy))
        return cls(int(match[1]), int(match[2]))

    def names(self, config: SweepConfig) -> list[str]:
        """Return the names of its runs, `<arm>/seed-<s>`.

        Runs of one seed stay together as far as the numbers allow: they share generation 0.
        """
        names = [f"{arm}/seed-{seed}" for arm, seed, _ in config.runs()]
        first = (self.number - 1) * len(names) // self.count
        end = self.number * len(names) // self.count
        return names[first:end]


def chosen_runs(
    config: SweepConfig, root: Path, at_once: int, names: Collection[str] | None
) -> Iterator[tuple[str, Path, RunConfig]]:
    """Yield (arm, folder, config) for each run that is named, in the order of `SweepConfig.runs`.

    names  `<arm>/seed-<s>` of runs; None: all are meant
    """
    for arm, seed, chain in config.runs(at_once):
        folder = run_folder(root, arm, seed)
        if names is None or f"{arm}/{folder.name}" in names:
            yield arm, folder, chain


def unfinished(config: SweepConfig, folder: Path) -> list[str]:
    """Return the names of the runs of a sweep that have generations left."""
    return [
        f"{arm}/seed-{seed}"
        for arm, seed, chain in config.runs()
        if layout.count_finished(run_folder(folder, arm, seed)) < chain.generations
    ]


@dataclass(frozen=True)
class RunState:
    """How far a run of a sweep is.

    name      `<arm>/seed-<s>`
    finished  generations that are finished, of so many `generations`
    state     what it is doing, in words: "finished", "running", "stopped", "not begun" or more
    """

    name: str
    finished: int
    generations: int
    state: str


def status(config: SweepConfig, folder: Path, now: float | None = None) -> list[RunState]:
    """Return how far each run of a sweep is.

    now  the time, in seconds since 1970; default: that of the system
    """
    if now is None:
        now = time.time()
    states: list[RunState] = []
    for arm, seed, chain in config.runs():
        run = run_folder(folder, arm, seed)
        finished = min(layout.count_finished(run), chain.generations)
        state = _state(run, finished, chain.generations, now)
        states.append(RunState(f"{arm}/seed-{seed}", finished, chain.generations, state))
    return states


def status_lines(states: Sequence[RunState]) -> Iterator[str]:
    """Yield how far each run of a sweep is, and how many are finished."""
    for run in states:
        yield f"{run.name}: {run.finished} of {run.generations} generations, {run.state}"
    ended = sum(run.state == FINISHED for run in states)
    done = sum(run.finished for run in states)
    total = sum(run.generations for run in states)
    yield f"{ended} of {len(states)} runs, {done} of {total} generations finished"


def status_json(folder: Path, states: Sequence[RunState]) -> dict[str, Any]:
    """Return the same as JSON has it."""
    return {
        "folder": str(folder),
        "runs": [asdict(run) for run in states],
        "finished": sum(run.state == FINISHED for run in states),
    }


def _state(run: Path, finished: int, generations: int, now: float) -> str:
    """Say what a run is doing, by what it has written."""
    if finished == generations:
        return FINISHED
    log = run / "events.jsonl"
    if not log.is_file():
        return "not begun"

    events = read_events(log)
    if events and events[-1].get("event") in ("stopped", "finished"):
        return "stopped"
    if is_being_written(run):
        return "running"

    # A process of another machine, whose locks cannot be seen from here, may write it.
    silent = max(0.0, now - log.stat().st_mtime)
    if silent > ASLEEP:
        return f"stopped: nothing written for {silent / 60:.0f} min"
    return f"written {silent:.0f} s ago, by no process of this machine"
