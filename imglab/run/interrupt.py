"""What SIGINT and SIGTERM do: a chain finishes its step, saves and stops; nothing is torn out of a library's hands."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from imglab import distributed

T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM)
IN_STEP = "fit"
"""The stage whose events come in every process alike; in others each tells of its own share."""
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
            if self._agreed(event):
                with distributed.stopping():
                    events.close()
                raise KeyboardInterrupt

    def _agreed(self, event: object) -> bool:
        """Say whether to stop here; several processes stop where all pass: at a step of a fit, after a generation."""
        if distributed.world_size() == 1:
            return self.asked
        return getattr(event, "stage", IN_STEP) == IN_STEP and distributed.any_process(self.asked)

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
