"""Signs of life: what goes on and how long it will take, whatever keeps the main thread busy.

Where the output is a terminal there is a bar; where it is not, a plain line every half minute.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from imglab.progress import heard_by
from imglab.safe_text import printable

if TYPE_CHECKING:
    from rich.progress import TaskID

EVERY = 30.0
"""Seconds after which something is said where nothing else was."""

SHORT = 2.0
"""Seconds of a stage that needs no sign of life."""


class Heartbeat:
    """Says where work is, every half minute in which nothing else was said.

    On request it also names each stage once, as soon as that has taken a while. As a context
    manager it does so from a thread of its own.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        *,
        expected: Mapping[str, float] | None = None,
        each_after: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Say with `say`.

        expected    seconds that a stage may take, by its name
        each_after  seconds of a stage after which it is named once
        """
        self._say = say
        self._expected = expected or {}
        self._each_after = each_after
        self._named: set[str] = set()
        self._clock = clock
        self._spoken = clock()
        self._stage = ""
        self._began = self._spoken
        self._first = 0
        self._seen = 0
        self._total = 0
        self._ended = threading.Event()

    def __enter__(self) -> Heartbeat:
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def heard(self, stage: str, seen: int = 0, total: int = 0) -> None:
        """Take note of a stage and of how much of it is done; `total` is 0 where it is unknown."""
        stage, seen, total = going_on(stage, seen, total)
        if stage != self._stage or seen < self._seen:
            self._stage = stage
            self._began = self._clock()
            self._first = seen
        self._seen = seen
        self._total = total

    def spoke(self) -> None:
        """Take note that something was said: the next half minute begins."""
        self._spoken = self._clock()

    def tick(self) -> None:
        """Say where the work is, if nothing was said for long or its stage is to be named."""
        if not self._stage:
            return

        now = self._clock()
        is_new = self._stage not in self._named and now - self._began >= self._each_after
        if is_new or now - self._spoken >= EVERY:
            self._named.add(self._stage)
            self._say(self.line())
            self.spoke()

    def line(self) -> str:
        """Return the stage, its share that is done, its time, and the time left where it shows."""
        elapsed = self._clock() - self._began
        text = self._stage
        if self._total:
            text += f" {100 * self._seen // self._total}%"
        text += f", {minutes(elapsed)} so far"
        left = self._left(elapsed)
        if left is not None:
            text += f", about {minutes(left)} left"
        return text

    def _left(self, elapsed: float) -> float | None:
        """Return the seconds left of a stage, by its speed or by what was expected of it."""
        left = max(0, self._total - self._seen)
        expected = self._expected.get(self._stage)
        return time_left(elapsed, done=self._seen - self._first, left=left, expected=expected)

    def _beat(self) -> None:
        while not self._ended.wait(1.0):
            self.tick()


class _Bar:
    """A bar in the terminal, of one stage after the other."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: TaskID | None = None
        self._stage = ""
        self._seen = 0

    def __enter__(self) -> _Bar:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def heard(self, stage: str, seen: int = 0, total: int = 0) -> None:
        """Move the bar."""
        stage, seen, total = going_on(stage, seen, total)
        if self._task is None or stage != self._stage or seen < self._seen:
            if self._task is not None:
                self._bars.remove_task(self._task)
            self._task = self._bars.add_task(printable(stage), total=total or None)
            self._stage = stage
        self._seen = seen
        self._bars.update(self._task, completed=seen, total=total or None)


def going_on(stage: str, seen: int, total: int) -> tuple[str, int, int]:
    """Return a stage and its numbers as they are shown: nothing that still goes on is at 100%.

    What a stage does once it has counted all is not counted, and has a name of its own.

    >>> going_on("fit", 30, 100), going_on("fit", 100, 100)
    (('fit', 30, 100), ('after fit', 0, 0))
    """
    if total and seen >= total:
        return f"after {stage}", 0, 0
    return stage, seen, total


@contextmanager
def signs_of_life(stage: str, *, each_after: float = math.inf) -> Iterator[None]:
    """Show on stderr how far work within the block is, where it may take more than two seconds.

    stage       what it is called until it says so itself
    each_after  seconds of a stage after which a plain line names it, once
    """
    with ExitStack() as stack:
        shown: Heartbeat | _Bar
        if sys.stderr.isatty():
            shown = stack.enter_context(_Bar())
        else:
            shown = stack.enter_context(Heartbeat(_to_stderr, each_after=each_after))
        shown.heard(stage)
        stack.enter_context(heard_by(shown.heard))
        yield


def _to_stderr(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)


def time_left(
    elapsed: float, *, done: int = 0, left: int = 0, expected: float | None = None
) -> float | None:
    """Return the seconds left of work by its speed, or else by what was expected; None: unknown.

    elapsed   seconds in which `done` parts of it were done, of which `left` are left
    expected  seconds of all of it

    >>> time_left(10.0, done=2, left=3), time_left(10.0, expected=25.0)
    (15.0, 15.0)
    """
    if done > 0 and left > 0:
        return elapsed * left / done
    if expected is None or expected <= elapsed:
        return None
    return expected - elapsed


def minutes(seconds: float) -> str:
    """Write a time as minutes:seconds, or as hours:minutes:seconds.

    >>> minutes(3725)
    '1:02:05'
    """
    whole, rest = divmod(int(seconds), 60)
    hours, whole = divmod(whole, 60)
    if hours:
        return f"{hours}:{whole:02d}:{rest:02d}"
    return f"{whole}:{rest:02d}"
