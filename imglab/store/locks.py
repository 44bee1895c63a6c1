"""Locks of folders, which let one process at a time write there. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from imglab.errors import InputError, Problem

RUN = ".lock"
"""Held while a run is made or repaired."""

RESULTS = ".results.lock"
"""Held while figures, tables and pages are written, which a run that goes on allows."""

PATIENCE = 120.0
"""Seconds that a process waits for another one to write its results."""


@contextmanager
def held(path: Path, busy: Problem, *, wait: float = 0.0) -> Iterator[None]:
    """Hold a lock; InputError with `busy` if another process holds it for more than `wait` seconds.

    A lock that a dead process left is no lock. A file system without locks tells nobody apart. A
    thread may hold a lock several times over.
    """
    lock = FileLock(path, is_singleton=True)
    try:
        lock.acquire(timeout=wait)
    except Timeout as error:
        raise InputError(busy) from error
    except NotImplementedError:
        yield
        return

    try:
        yield
    finally:
        lock.release()


@contextmanager
def results(folder: Path) -> Iterator[None]:
    """Hold the lock of the results in a folder; wait while another process writes its own."""
    busy = Problem(
        str(folder), "another process is writing figures and pages here", "try again when it ends"
    )
    with held(folder / RESULTS, busy, wait=PATIENCE):
        yield
