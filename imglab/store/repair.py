"""The way back to the last good generation: what is damaged is set aside, never deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path

from imglab.errors import InputError, Problem
from imglab.store import files, hashes, layout, locks
from imglab.store.fault import Fault, exists
from imglab.store.head import write_head
from imglab.store.relatives import heal

DAMAGED = "damaged"
"""Folder of a run that takes what a repair sets aside, in a numbered folder for each repair."""

ROUNDS = 4
"""How often a repair looks for what it can mend."""

Find = Callable[[Path], Iterator[Fault]]


def repair(folder: Path, find: Find) -> list[str]:
    """Mend what can be mended in a run or in the folder of a group; return what to say of it.

    What another run has under the right hash is copied from there. The rest is set aside.

    find  yields the faults of the folder
    """
    busy = Problem(str(folder), "another process is writing this run", "stop it, or wait for it")
    try:
        with locks.held(folder / locks.RUN, busy):
            return _mend(folder, find)
    except PermissionError as error:
        what = f"cannot be repaired: {error.strerror}"
        raise InputError(Problem(str(folder), what, "repair a copy that can be written")) from error


def _mend(folder: Path, find: Find) -> list[str]:
    lines: list[str] = []
    # A manifest that is mended may show that files beside it are damaged too.
    for _ in range(ROUNDS):
        mended = list(heal(folder, lasting(folder, find), _free_folder(folder / DAMAGED)))
        lines += mended
        if not mended:
            break
    moved = set_aside(folder, lasting(folder, find), _free_folder(folder / DAMAGED))
    return lines + [f"{folder}: set aside {path.relative_to(folder)}" for path in moved]


def lasting(folder: Path, find: Find) -> list[Fault]:
    """Return the faults that two looks find.

    A run that is going on has files that are not listed yet, and a bad cable reads wrongly once.
    """
    faults = list(find(folder))
    if not faults:
        return []
    again = set(find(folder))
    return [fault for fault in faults if fault in again]


def set_aside(run: Path, faults: Sequence[Fault], place: Path) -> Iterator[Path]:
    """Move what is damaged, and every later generation, into `place`; yield where it now is.

    If only a copy helps against one of the faults, nothing is moved.
    """
    if any(fault.aside is None for fault in faults):
        return
    paths = _to_move(run, faults)
    if not paths:
        return

    has_head = exists(run / layout.HEAD)
    for path in paths:
        aside = place / path.relative_to(run)
        files.make_folder(aside.parent)
        path.rename(aside)
        files.sync_folder(aside.parent)
        files.sync_folder(path.parent)
        yield aside
    if has_head:
        write_head(run)

    # Results that were moved are listed again once they are made again.
    with locks.results(run):
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
