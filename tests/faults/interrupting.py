"""Commands that are stuck at a chosen function, and are sent signals there.

They run in children of the process that has everything imported (`killing`).
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.faults.killing import workshop


@dataclass(frozen=True)
class Ended:
    """How a command ended after a signal, and what it printed."""

    code: int | None
    seconds: float
    errors: str


def interrupted(
    words: list[str], place: str, errors: Path, *, in_library: bool, signals: int = 1
) -> Ended:
    """Run a command up to a function, send signals to it, and wait for its end.

    place       `module:name` or `module:class.name` of the function
    in_library  be stuck in a call of C, from which no signal leads back to Python
    """
    ours, theirs = workshop.Pipe(duplex=False)
    child = workshop.Process(target=_work, args=(words, place, errors, in_library, theirs))
    child.start()
    theirs.close()
    ours.recv()
    # Until it is in the call.
    time.sleep(0.2)

    began = time.monotonic()
    for _ in range(signals):
        os.kill(child.pid or 0, signal.SIGINT)
        time.sleep(0.4)
    child.join(60)
    seconds = time.monotonic() - began
    child.kill()
    return Ended(child.exitcode, seconds, errors.read_text())


def _work(words: list[str], place: str, errors: Path, in_library: bool, link) -> None:
    from imglab.cli import program

    with errors.open("w") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)

    module, _, name = place.partition(":")
    *owner, last = name.split(".")
    holder = importlib.import_module(module)
    for each in owner:
        holder = getattr(holder, each)

    def stuck(*_, **__):
        link.send("here")
        if in_library:
            _never_return()
        while True:
            time.sleep(0.01)

    setattr(holder, last, stuck)
    sys.argv = ["imglab", *words]
    program()


def _never_return() -> None:
    """Lock a mutex of the system twice: the second call waits, whatever signals come."""
    system = ctypes.CDLL(None)
    mutex = ctypes.create_string_buffer(64)
    system.pthread_mutex_lock(mutex)
    system.pthread_mutex_lock(mutex)
