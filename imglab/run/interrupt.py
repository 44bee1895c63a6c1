"""What SIGINT and SIGTERM do: a chain finishes its step, saves and stops.

A step that takes longer than `PATIENCE` is left: by an exception, or, where a library does not come
back from a call, by the end of the process. Every file is whole or missing, so that the run goes on
from there in any case.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from imglab import distributed

T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM)
IN_STEP = "fit"
"""Stage whose events come in every process alike; in other stages each reports its own shard."""
STOPPED = 3
"""Exit code of a run that can be resumed."""

PATIENCE = 1.0
"""Seconds that a step has to come to its end after a signal; a library's call has twice as long."""
SHOW_CURSOR = b"\x1b[?25h"


class StopRequest:
    """Notes a signal inside a `with` block; a second signal ends the process at once."""

    def __init__(self, signals: Sequence[signal.Signals] = SIGNALS) -> None:
        self.asked = False
        self._signals = signals
        self._before: dict[int, Any] = {}

        # Whether the chain has noticed by now, and saves.
        self._heeds = False
        self._is_overdue = False
        self._timers: list[threading.Timer] = []

    def __enter__(self) -> StopRequest:
        self._before = {number: signal.signal(number, self._note) for number in self._signals}
        return self

    def __exit__(self, *_: object) -> None:
        for timer in self._timers:
            timer.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def heeded(self, events: Generator[T, None, None]) -> Iterator[T]:
        """Pass events on, until a signal has come to any process.

        Then the events are closed, which saves the step, and KeyboardInterrupt is raised.
        """
        for event in events:
            yield event
            if self._all_stop_at(event):
                self._heeds = True
                with distributed.stopping():
                    events.close()
                raise KeyboardInterrupt

    def _all_stop_at(self, event: object) -> bool:
        """Say whether to stop after this event.

        Several processes stop where all of them pass: at a step of a fit, or after a generation.
        """
        if distributed.world_size() == 1:
            return self.asked

        # What is not Progress (a Generation) has no stage and comes in every process, too.
        in_every_process = getattr(event, "stage", IN_STEP) == IN_STEP
        return in_every_process and distributed.any_process(self.asked)

    def ask(self) -> None:
        """Ask for a stop as a signal does."""
        self.asked = True

    def _note(self, number: int, _: Any) -> None:
        if self._is_overdue:
            self._is_overdue = False
            raise KeyboardInterrupt
        if self.asked:
            _end_at_once()

        self.asked = True
        os.write(sys.stderr.fileno(), b"\nstopping after this step; once more to stop at once\n")
        # Of several processes none leaves the others alone: they stop at a step.
        if distributed.world_size() == 1:
            self._after(PATIENCE, lambda: self._interrupt(number))
            self._after(2 * PATIENCE, self._end)

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, act)
        timer.daemon = True
        timer.start()
        self._timers.append(timer)

    def _interrupt(self, number: int) -> None:
        """Let the main thread leave what it is doing, unless it is saving."""
        if not self._heeds:
            self._is_overdue = True
            os.kill(os.getpid(), number)

    def _end(self) -> None:
        # Still in a call of a library that does not come back.
        if self._is_overdue and not self._heeds:
            _end_at_once()


def _end_at_once() -> None:
    """End the process: every file is whole or missing, so that the run can be resumed."""
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), SHOW_CURSOR)
    os._exit(STOPPED)


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt as SIGINT does, for code that only waits or reads."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    # Only the main thread may do that; what is in another one, a notebook's say, has its own ways.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
