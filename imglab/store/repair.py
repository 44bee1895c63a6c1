"""The way back to the last good generation: what is damaged is set aside, never deleted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from imglab.errors import InputError, Problem
from imglab.store import files, hashes, layout
from imglab.store.faults import Fault, exists

DAMAGED = "damaged"
"""Folder of a run that takes what a repair sets aside, in a numbered folder for each repair."""


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold the lock of a run directory; InputError if a process is writing the run."""
    lock = FileLock(run / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        what = "another process is writing this run"
        raise InputError(Problem(str(run), what, "stop it, or wait for it")) from error

    except OSError as error:
        what = f"cannot be repaired: {error.strerror}"
        raise InputError(Problem(str(run), what, "repair a copy that can be written")) from error

    try:
        yield
    finally:
        lock.release()


def set_aside(run: Path, faults: Sequence[Fault]) -> Iterator[Path]:
    """Move what is damaged, and every later generation, into `damaged/`; yield where it now is.

    If only a copy helps against one of the faults, nothing is moved.
    """
    if any(fault.aside is None for fault in faults):
        return
    paths = _to_move(run, faults)
    if not paths:
        return

    place = _free_folder(run / DAMAGED)
    for path in paths:
        files.make_folder(place)
        path.rename(place / path.name)
        files.sync_folder(place)
        files.sync_folder(run)
        yield place / path.name

    # Results that were moved are listed again once they are made again.
    if (run / hashes.HASH_LIST).exists():
        with hashes.written(run, *(path.name for path in paths)):
            pass


def _to_move(run: Path, faults: Sequence[Fault]) -> list[Path]:
    """Return what has to be moved, the last generation first.

    A repair that is killed in the middle then leaves a run without a gap.
    """
    paths = {
        fault.aside for fault in faults if fault.aside is not None and fault.generation is None
    }
    broken = [fault.generation for fault in faults if fault.generation is not None]
    if broken:
        generations = layout.generations_in(run)
        paths |= {layout.generation_folder(run, g) for g in generations if g >= min(broken)}

    present = [path for path in paths if exists(path)]
    return sorted(present, key=lambda path: (len(path.name), path.name), reverse=True)


def _free_folder(folder: Path) -> Path:
    """Return the first numbered folder in `folder` that does not exist."""
    return next(folder / str(n) for n in count(1) if not (folder / str(n)).exists())
