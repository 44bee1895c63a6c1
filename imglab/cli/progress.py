"""What the terminal shows of a run: live bars where there is one, plain lines where there is not."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from imglab.generation import Generation
from imglab.modality import Split
from imglab.progress import Progress
from imglab.report.table import streamed
from imglab.run.run import Run
from imglab.safe_text import printable
from imglab.store.layout import generation_folder

PLAIN_WIDTH = 132
RATE_AFTER = 0.5
"""Seconds into a stage before its speed is worth showing."""


@dataclass
class _Stage:
    """The stage that the bar shows."""

    name: str
    bar: TaskID
    began: float
    first: int
    seen: int


class RunConsole:
    """Shows the events of a run as they come; use it as a context manager."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._console = Console(highlight=False, soft_wrap=True)
        text, rate = TextColumn("{task.description}"), TextColumn("{task.fields[rate]}")
        self._bars = Bars(
            text, BarColumn(), rate, TimeRemainingColumn(), console=self._console, transient=True
        )
        self._live = sys.stdout.isatty()
        self._stage: _Stage | None = None
        self._began = self._generation_began = time.perf_counter()
        self._generation, self._usual = 0, 0.0
        self._latest = ""

    def __enter__(self) -> RunConsole:
        config, modality = self._run.experiment.config, self._run.experiment.modality
        train, test = (len(modality.real(split)) for split in get_args(Split))
        self._print(
            f"{config.name}: {config.generations} generations, regime {config.regime.kind}, start {config.start}; "
            f"{train} real training and {test} test samples, {self._run.experiment.samples} drawn per generation"
        )
        self._print(f"-> {printable(str(self._run.folder))}")
        if self._live:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_bars()

    def show(self, event: Progress | Generation) -> None:
        """Show an event."""
        if isinstance(event, Generation):
            self._finish_generation(event)
        elif self._live:
            self._move_bar(event)

    def end(self, made: Sequence[Path]) -> None:
        """Say that the run is finished and where to look: at what was `made` of it, and at its last picture."""
        self._stop_bars()
        self._print(f"done in {_clock(time.perf_counter() - self._began)}")
        folder, last = self._run.folder, self._run.experiment.config.generations - 1
        picture = generation_folder(folder, last) / self._run.experiment.modality.picture
        for path in (*made, picture):
            if path.exists():
                self._print(f"  {printable(str(path))}")

    def _finish_generation(self, event: Generation) -> None:
        now = time.perf_counter()
        self._usual, self._generation_began = now - self._generation_began, now
        self._generation = event.index + 1
        header, line = streamed(event.metrics, shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns)
        self._print(f"{header}\n{line}" if event.index == 0 else line)
        picture = (
            generation_folder(self._run.folder, event.index) / self._run.experiment.modality.picture
        )
        self._latest = f"{escape(printable(str(picture)))}\n"

    def _move_bar(self, event: Progress) -> None:
        stage, now = self._stage, time.perf_counter()
        if stage is None or event.stage != stage.name or event.seen < stage.seen:
            if stage is not None:
                self._bars.remove_task(stage.bar)
            bar = self._bars.add_task("", total=event.total, rate="")
            stage = self._stage = _Stage(event.stage, bar, now, event.seen, event.seen)
        stage.seen = event.seen
        elapsed = now - stage.began
        rate = f"{(event.seen - stage.first) / elapsed:,.0f}/s" if elapsed > RATE_AFTER else ""
        text = f"{self._latest}generation {self._generation} · {event.stage}{self._time_left(now)}"
        self._bars.update(
            stage.bar, completed=event.seen, total=event.total, rate=rate, description=text
        )

    def _time_left(self, now: float) -> str:
        """Estimate the time left for the run from the generation before."""
        if self._usual < 1:
            return ""
        remaining = self._run.experiment.config.generations - self._generation
        return f" · run {_clock(max(0.0, self._usual * remaining - (now - self._generation_began)))} left"

    def _stop_bars(self) -> None:
        if self._live:
            self._bars.stop()

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False)
        self._console.file.flush()


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
