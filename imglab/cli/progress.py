"""What the terminal shows of a run: live bars if it is one, plain lines if it is not."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from imglab.cli.heartbeat import Heartbeat, going_on, minutes, time_left
from imglab.config.curation_sections import kept_share
from imglab.curation import kept_size
from imglab.generation import Generation
from imglab.progress import Progress, heard_by
from imglab.report.table import streamed
from imglab.running.build import Experiment
from imglab.running.cost import RunCost
from imglab.running.run import Run
from imglab.safe_text import printable
from imglab.store.layout import generation_folder

PLAIN_WIDTH = 132
RATE_AFTER = 0.5
"""Seconds into a stage before its speed is worth showing."""


@dataclass
class _Stage:
    """The stage that the bar shows.

    first, seen  the counts of the first and of the latest event of the stage
    """

    name: str
    bar: TaskID
    began: float
    first: int
    seen: int


class RunConsole:
    """Shows the events of a run as they come; use it as a context manager."""

    def __init__(self, run: Run, cost: RunCost | None = None) -> None:
        """Show the events of this run, and its time left by what it is expected to cost."""
        self._run = run
        self._heartbeat = Heartbeat(self._say_where, expected=_expected(cost))
        self._stack = ExitStack()
        self._console = Console(
            file=getattr(sys.stdout, "raw", None), highlight=False, soft_wrap=True
        )
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._live = sys.stdout.isatty()

        # Where the run is, and how long the generation before took.
        self._stage: _Stage | None = None
        self._generation = 0
        self._first: Mapping[str, Any] | None = None
        self._began = time.perf_counter()
        self._generation_began = self._began
        self._usual = 0.0
        self._whole = 0.0
        if cost is not None:
            self._whole = cost.seconds
        self._latest = ""

    def __enter__(self) -> RunConsole:
        self._print(header(self._run.experiment))
        line = self._run.experiment.modality.data_line
        if line:
            self._print(f"data: {printable(line)}")
        self._print(f"-> {printable(str(self._run.folder))}")
        if self._live:
            self._bars.start()
        else:
            self._stack.enter_context(self._heartbeat)
        self._stack.enter_context(heard_by(self._heard))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._stop_bars()

    def show(self, event: Progress | Generation) -> None:
        """Show an event."""
        for note in self._run.notes:
            self._print(f"note: {printable(note)}")
        self._run.notes.clear()
        if isinstance(event, Generation):
            self._finish_generation(event)
        else:
            self._heard(event.stage, event.seen, event.total)

    def end(self, results: Sequence[Path]) -> None:
        """Say that the run is finished and where to look: at its results and its last picture."""
        self._stop_bars()
        self._print(f"done in {minutes(time.perf_counter() - self._began)}")
        last = self._run.experiment.config.generations - 1
        for path in (*results, self._picture(last)):
            if path.exists():
                self._print(f"  {printable(str(path))}")

    def _finish_generation(self, event: Generation) -> None:
        now = time.perf_counter()
        if event.index > 0 or self._whole == 0:
            self._usual = now - self._generation_began
        self._generation_began = now
        self._generation = event.index + 1

        width = shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns
        self._first = self._first or event.metrics
        titles, line = streamed(event.metrics, width, self._first)
        if event.index == 0:
            self._print(titles)
        self._print(line)
        picture = self._picture(event.index)
        if picture.exists():
            self._latest = f"{escape(printable(str(picture)))}\n"

    def _picture(self, generation: int) -> Path:
        experiment = self._run.experiment
        folder = self._run.folder
        if (experiment.config.pictures or experiment.modality.pictures) == "each":
            folder = generation_folder(folder, generation)
        return folder / experiment.modality.picture

    def _heard(self, stage: str, seen: int, total: int) -> None:
        """Show how far a stage is, which yields its progress or reports it."""
        if self._live:
            self._move_bar(Progress(*going_on(stage, seen, total)))
        else:
            self._heartbeat.heard(stage, seen, total)

    def _say_where(self, line: str) -> None:
        """Print a line where nothing was printed for long."""
        now = time.perf_counter()
        self._print(f"generation {self._generation} · {printable(line)}{self._time_left(now)}")

    def _move_bar(self, event: Progress) -> None:
        now = time.perf_counter()
        stage = self._stage
        if stage is None or event.stage != stage.name or event.seen < stage.seen:
            stage = self._new_stage(event, now)
        stage.seen = event.seen

        elapsed = now - stage.began
        rate = ""
        if elapsed > RATE_AFTER and event.total:
            rate = f"{(event.seen - stage.first) / elapsed:,.0f}/s"
        text = f"{self._latest}generation {self._generation} · {event.stage}{self._time_left(now)}"
        self._bars.update(
            stage.bar, completed=event.seen, total=event.total or None, rate=rate, description=text
        )

    def _new_stage(self, event: Progress, now: float) -> _Stage:
        """Replace the bar by one for the stage of this event."""
        if self._stage is not None:
            self._bars.remove_task(self._stage.bar)
        bar = self._bars.add_task("", total=event.total or None, rate="")
        self._stage = _Stage(event.stage, bar, now, event.seen, event.seen)
        return self._stage

    def _time_left(self, now: float) -> str:
        """Estimate the time left for the run from the time that the generation before took.

        The fit of generation 0 is often far longer than the others, so until a later generation is
        finished the estimate is what the run was expected to take.
        """
        remaining = self._run.experiment.config.generations - self._generation
        seconds = time_left(now - self._generation_began, expected=self._usual * remaining)
        if self._usual < 1:
            seconds = time_left(now - self._began, expected=self._whole)
        if seconds is None:
            return ""
        return f" · run {minutes(seconds)} left"

    def _stop_bars(self) -> None:
        if self._live:
            self._bars.stop()

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False)
        self._console.file.flush()
        self._heartbeat.spoke()


def header(experiment: Experiment) -> str:
    """Return the line that a run prints first: what it will do, and on how much data."""
    config = experiment.config
    train = len(experiment.modality.real("train"))
    test = len(experiment.modality.real("test"))
    chain = f"{config.generations} generations, regime {config.regime.kind}, start {config.start}"
    chain += "".join(f", remedy {section.kind}" for section in config.remedy)
    data = f"{train} real training and {test} test samples"
    return f"{config.name}: {chain}; {data}, {_drawn(experiment)} per generation"


def _drawn(experiment: Experiment) -> str:
    """Say how many samples a generation draws, and how many of them go on to the pool."""
    curate = experiment.config.curate
    if curate is None:
        return f"{experiment.drawn} drawn"
    share = kept_share(curate)
    if share is not None:
        return f"{experiment.drawn} drawn and {kept_size(experiment.drawn, share)} kept"
    return f"{experiment.drawn} drawn and then curated"


def _expected(cost: RunCost | None) -> dict[str, float]:
    """Return the seconds that stages of a run may take, by the names by which they report."""
    seconds: dict[str, float] = {}
    for stage in () if cost is None else cost.stages:
        if stage.name == "prepare":
            seconds["prepare"] = stage.seconds
        elif stage.name == "measure":
            seconds["metrics"] = max(stage.generation)
    return seconds
