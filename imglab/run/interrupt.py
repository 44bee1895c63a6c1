"""What SIGINT and SIGTERM do: a chain finishes its step, saves and stops.

No library is interrupted in the middle of a call.
"""

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
"""Stage whose events come in every process alike; in other stages each reports its own shard."""
STOPPED = 3
"""Exit code of a run that can be resumed."""


class StopRequest:
    """Notes a signal inside a `with` block; a second signal ends the process at once."""

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
        """Pass events on, until a signal has come to any process.

        Then the events are closed, which saves the step, and KeyboardInterrupt is raised.
        """
        for event in events:
            yield event
            if self._all_stop_at(event):
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
        if self.asked:
            os._exit(STOPPED)  # every file is whole or missing, so that this can be resumed, too
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
