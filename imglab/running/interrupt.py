"""What SIGINT and SIGTERM do: a chain finishes its step, saves and stops.

A step that takes longer than `PATIENCE` is left: by an exception, or, where a library does not come
back from a call until `LAST`, by the end of the process. Every file is whole or missing, so that
the run goes on from there in any case.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, TypeVar

from imglab import distributed

T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM)
IN_STEP = "fit"
"""Stage whose events come in every process alike; in other stages each reports its own shard."""
STOPPED = 3
"""Exit code of a run that can be resumed."""

PATIENCE = 1.0
"""Seconds that a step has to come to its end after a signal."""

LAST = 1.8
"""Seconds after which the process ends, if a call of a library has not come back until then."""
RELAYED = 0.2
"""Seconds after a signal in which further ones are the same one: a launcher passes on to all of its
processes what the terminal has sent them already."""
STDERR = 2
SHOW_CURSOR = b"\x1b[?25h"


class _Listener:
    """Hears signals at once, where the main thread may be in a call that does not come back.

    Python's own handlers run in the main thread, between two of its instructions. The system's
    handler writes the number of each signal to a socket, which a thread of this object reads. One
    listens at a time. When the first signal came is kept for the whole command, so that a second
    one is the second also where the first one came in another block.
    """

    _heard: float | None = None
    _blocks = 0

    def __init__(self, signals: Sequence[signal.Signals], first: Callable[[], None]) -> None:
        self._signals = signals
        self._first = first
        self._expected = 0
        self._before = -1

    def start(self) -> None:
        """Listen; only the main thread may begin that."""
        if _Listener._blocks == 0:
            _Listener._heard = None
        _Listener._blocks += 1

        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._listen, daemon=True).start()

    def stop(self) -> None:
        """Let the block around this one listen again."""
        signal.set_wakeup_fd(self._before, warn_on_full_buffer=False)
        _Listener._blocks -= 1
        self._writer.close()

    def expect(self) -> None:
        """Do not count the next signal, which the process sends to itself."""
        self._expected += 1

    def _listen(self) -> None:
        with self._reader:
            while heard := self._reader.recv(1):
                if heard[0] not in self._signals:
                    continue
                if self._expected:
                    self._expected -= 1
                    continue
                self._count()

    def _count(self) -> None:
        now = time.monotonic()
        if _Listener._heard is None:
            _Listener._heard = now
            self._first()
        elif now - _Listener._heard > RELAYED:
            _end_at_once()


class StopRequest:
    """Notes a signal inside a `with` block; a second signal ends the process at once."""

    def __init__(self, signals: Sequence[signal.Signals] = SIGNALS) -> None:
        self.asked = False
        self._signals = signals
        self._before: dict[int, Any] = {}

        # Whether the chain has noticed by now, and saves.
        self._heeds = False
        self._is_overdue = False
        self._is_over = False
        self._timers: list[threading.Timer] = []
        self._listener = _Listener(signals, self._set_times)

    def __enter__(self) -> StopRequest:
        self._listener.start()
        self._before = {number: signal.signal(number, self._note) for number in self._signals}
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        for timer in self._timers:
            timer.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._listener.stop()

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

    def _note(self, _: int, __: Any) -> None:
        if self._is_overdue:
            self._is_overdue = False
            raise KeyboardInterrupt

        self.asked = True

    def _set_times(self) -> None:
        os.write(STDERR, b"\nstopping after this step; once more to stop at once\n")
        # Of several processes none leaves the others alone: they stop at a step.
        if distributed.world_size() == 1:
            self._after(PATIENCE, self._interrupt)
            self._after(LAST, self._end)

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        if self._is_over:
            return
        timer = threading.Timer(seconds, act)
        timer.daemon = True
        timer.start()
        self._timers.append(timer)

    def _interrupt(self) -> None:
        """Let the main thread leave what it is doing, unless it is saving."""
        if not self._heeds and not self._is_over:
            self._is_overdue = True
            self._listener.expect()
            os.kill(os.getpid(), self._signals[0])

    def _end(self) -> None:
        # Still in a call of a library that does not come back.
        if self._is_overdue and not self._heeds:
            _end_at_once()


def _end_at_once() -> None:
    """End the process: every file is whole or missing, so that the run can be resumed."""
    os.write(STDERR, b"stopped at once; run the same command again to finish\n")
    if os.isatty(STDERR):
        os.write(STDERR, SHOW_CURSOR)
    os._exit(STOPPED)


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise KeyboardInterrupt, for code that only waits or reads.

    A call of a library that does not come back is left by the end of the process, and so is
    everything at a second signal.
    """
    # Only the main thread may do that; what is in another one, a notebook's say, has its own ways.
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    timer = threading.Timer(LAST, _end_at_once)
    timer.daemon = True

    def interrupt(*_: Any) -> None:
        # What follows is cleaning up, which only the listener ends.
        if not timer.finished.is_set():
            timer.cancel()
            raise KeyboardInterrupt

    listener = _Listener(SIGNALS, timer.start)
    listener.start()
    before = {number: signal.signal(number, interrupt) for number in SIGNALS}
    try:
        yield
    finally:
        timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
        listener.stop()


def end_without_teardown(code: int) -> NoReturn:
    """End the process once its own cleaning up is done, without taking the libraries apart.

    The interpreter would go through all objects of torch and its like again, which takes a second,
    and several of them beside other work.
    """
    for number in SIGNALS:  # a further one ends it with the same code
        signal.signal(number, lambda *_: os._exit(code))
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        # Whoever read the output may have gone.
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
