"""How far many runs are: a line for each that ends, and the time left for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from imglab.cli.heartbeat import EVERY, minutes, time_left
from imglab.safe_text import printable

if TYPE_CHECKING:
    from imglab.studies.jobs import Outcome


class Tally:
    """Prints a line for each run that ends, and one every half minute in which none does."""

    def __init__(
        self,
        runs: int | None = None,
        *,
        silent: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Count up to `runs` runs, if they are counted."""
        self._runs = runs
        self._silent = silent
        self._clock = clock
        self._began: float | None = None
        self._first = 0
        self._done = 0
        self._total = 0
        self._ended = 0
        self._spoken = clock()

    def __call__(self, done: int, total: int) -> None:
        """Take note of how many of `total` generations are finished."""
        if self._began is None:
            self._began = self._clock()
            self._first = done
        self._done = done
        self._total = total
        if self._clock() - self._spoken >= EVERY:
            self._say("running")

    def ended(self, name: str, outcome: Outcome) -> None:
        """Take note of a run that ended."""
        self._ended += 1
        verdict = "done"
        if outcome.code:
            verdict = "not finished"
        self._say(f"{name} {verdict}")

    def _say(self, what: str) -> None:
        self._spoken = self._clock()
        if self._silent:
            return
        parts = [f"{self._done} of {self._total} generations finished"]
        if self._runs is not None:
            parts.insert(0, f"{self._ended} of {self._runs} runs")
        left = self.left()
        if left is not None:
            parts.append(f"about {minutes(left)} left")
        typer.echo(printable(f"{what}: {', '.join(parts)}"))

    def left(self) -> float | None:
        """Return the seconds left for all runs, by the speed of this command; None: unknown yet."""
        if self._began is None:
            return None
        elapsed = self._clock() - self._began
        return time_left(elapsed, done=self._done - self._first, left=self._total - self._done)
