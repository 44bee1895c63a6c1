"""What SIGINT and SIGTERM do: a chain finishes its step, saves and stops; nothing is torn out of a library's hands."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from imglab import processes

T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOPPED = 3
"""Exit code of a run that can be resumed."""


class StopRequest:
    """Notes a signal while it is used as a context manager; a second one ends the process at once."""

    def __init__(self, signals: Sequence[signal.Signals] = SIGNALS) -> None:
        self.asked = False
        self._signals = signals
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        self._before = {number: signal.signal(number, self._note) for number in self._signals}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def heeded(self, events: Generator[T, None, None]) -> Iterator[T]:
        """Pass events on; once a signal came, to any process, close them (which saves the step): KeyboardInterrupt."""
        for event in events:
            yield event
            if processes.any_of(self.asked):
                events.close()
                raise KeyboardInterrupt

    def ask(self) -> None:
        """Ask for a stop as a signal does."""
        self.asked = True

    def _note(self, number: int, _: Any) -> None:
        if self.asked:
            os._exit(STOPPED)  # every file is whole or not there, so this too can be resumed
        self.asked = True
        os.write(sys.stderr.fileno(), b"\nstopping after this step; once more to stop at once\n")


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt as SIGINT does, for code that only waits."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
