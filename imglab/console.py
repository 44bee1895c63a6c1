"""What the terminal shows of a run: live bars where there is one, plain lines where there is not."""

from __future__ import annotations

import shutil
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress as Bars, TaskID, TextColumn, TimeRemainingColumn

from imglab.experiment import Run
from imglab.loop import Generation
from imglab.modality import Progress
from imglab.report.table import streamed

STAGES = ("fit", "sample", "measure", "floor")


class RunConsole:
    """Shows the events of a run as they come."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._console = Console(highlight=False, soft_wrap=True)
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._stage, self._stage_began = "", 0.0
        self._began = time.perf_counter()
        self._generation = 0
        self._made: list[float] = []
        self._last = self._began

    def begin(self) -> None:
        """Say what runs and where it goes."""
        experiment = self._run.experiment
        real = {split: len(experiment.modality.real(split)) for split in ("train", "test")}  # type: ignore[arg-type]
        config = experiment.config
        self._print(
            f"{config.name}: {config.generations} generations, regime {config.regime.kind}, start {config.start}; "
            f"{real['train']} real training and {real['test']} test samples, {experiment.samples} drawn per generation"
        )
        self._print(f"-> {self._run.folder}")
        if sys.stdout.isatty():
            text = TextColumn("{task.description}")
            rate = TextColumn("{task.fields[rate]}")
            self._bars = Bars(text, BarColumn(), rate, TimeRemainingColumn(), console=self._console, transient=True)
            self._bars.start()

    def show(self, event: Progress | Generation) -> None:
        """Show an event."""
        if isinstance(event, Generation):
            self._finish_generation(event)
        elif self._bars is not None:
            self._move_bar(self._bars, event)

    def end(self) -> None:
        """Say where to look."""
        self._stop_bars()
        folder = self._run.folder
        self._print(f"done in {_clock(time.perf_counter() - self._began)}")
        for name in ("curves.png", "strip.png"):
            if (folder / name).exists():
                self._print(f"  {folder / name}")

    def __del__(self) -> None:
        self._stop_bars()

    def _finish_generation(self, event: Generation) -> None:
        now = time.perf_counter()
        self._made.append(now - self._last)
        self._last, self._generation = now, event.index + 1
        header, line = streamed(event.metrics, shutil.get_terminal_size((132, 24)).columns)
        if event.index == 0:
            self._print(header)
        self._print(line)

    def _move_bar(self, bars: Bars, event: Progress) -> None:
        now = time.perf_counter()
        if event.stage != self._stage or event.seen < (self._seen if self._task is not None else 0):
            if self._task is not None:
                bars.remove_task(self._task)
            self._task = bars.add_task("", total=event.total, rate="")
            self._stage, self._stage_began, self._first = event.stage, now, event.seen
        self._seen = event.seen
        elapsed = now - self._stage_began
        rate = f"{(event.seen - self._first) / elapsed:,.0f}/s" if elapsed > 0.5 else ""
        bars.update(
            self._task,  # type: ignore[arg-type]
            completed=event.seen,
            total=event.total,
            rate=rate,
            description=f"generation {self._generation} · {event.stage}{self._left()}",
        )

    def _left(self) -> str:
        """Estimate the time left for the run from the generations made so far."""
        usual = [seconds for seconds in self._made if seconds > 1] or None
        if usual is None:
            return ""
        remaining = self._run.experiment.config.generations - self._generation
        spent = time.perf_counter() - self._last
        return f" · run {_clock(max(0.0, usual[-1] * remaining - spent))} left"

    def _stop_bars(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
