"""The run directories below a folder, and how each of them stands. No torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from imglab.errors import InputError, Problem
from imglab.store import locks
from imglab.store.groups import run_folders
from imglab.store.layout import CHAINS, SWEEP, count_finished, finished_ones
from imglab.store.sealed_config import SEALED

try:
    import fcntl
except ImportError:  # where no file can be locked in this way
    fcntl = None  # type: ignore[assignment]

Status = Literal["running", "finished", "stopped"]

DEPTH = 6
"""Folders below the first one in which runs are looked for: a claim's runs lie four below it."""
MOST_RUNS = 32_000
STUDIES = (
    SWEEP,
    CHAINS,
    "map.json",
    "mixing.json",
    "claims.json",
    "decomposition.json",
    "scaling.json",
)
"""What studies write at the top of their folders before their first run begins. Decompositions and
scaling studies are sweeps, too."""


def runs_below(folder: Path) -> list[Path]:
    """Return the run directories in a folder and the folders in it, in alphabetical order.

    The folder may be a run itself. Links and hidden folders are passed over.

    Raises InputError if the folder does not exist, or holds more than 32,000 runs.
    """
    if not folder.is_dir():
        raise InputError(Problem(str(folder), "there is no such folder", "give a folder of runs"))

    runs: list[Path] = []
    for run, is_one in _walk(folder, DEPTH):
        if not is_one:
            continue
        runs.append(run)
        if len(runs) > MOST_RUNS:
            what = f"holds more than {MOST_RUNS} runs"
            raise InputError(Problem(str(folder), what, "give a folder in it"))
    return runs


def groups_below(folder: Path) -> list[Path]:
    """Return the directories of sweeps and side-by-side runs among the folders of `runs_below`."""
    parents = {parent for run in runs_below(folder) for parent in list(run.parents)[:2]}
    inside = [parent for parent in parents if parent.is_relative_to(folder)]
    return sorted(parent for parent in inside if is_group(parent))


def folders_with(folder: Path, *names: str) -> list[Path]:
    """Return the folders at or below one that hold files of all these names; none within a run."""
    return [
        each
        for each, is_one in _walk(folder, DEPTH)
        if not is_one and all((each / name).is_file() for name in names)
    ]


def reported_below(folder: Path) -> list[Path]:
    """Return what a folder holds that has a page of its own: runs, sweeps, side-by-side runs.

    A run or a group is its own answer, and so is what is neither and holds none.
    """
    if not folder.is_dir() or is_run(folder) or is_group(folder):
        return [folder]
    groups = groups_below(folder)
    alone = [run for run in runs_below(folder) if not set(groups) & set(run.parents)]
    return sorted([*groups, *alone]) or [folder]


def begun_runs(folder: Path) -> list[Path]:
    """Return the run directories in a run, a group or a folder of them that have begun.

    All of them if none has.
    """
    runs = [run for part in reported_below(folder) for run in run_folders(part)]
    begun = [run for run in runs if finished_ones(run)]
    return begun or runs


def is_group(folder: Path) -> bool:
    """Say whether a folder is the directory of a sweep or of a side-by-side run."""
    return (folder / SWEEP).is_file() or (folder / CHAINS).is_file()


def study_of(run: Path) -> Path | None:
    """Return the folder of the study that a run directory is part of; None: it stands for itself.

    A study is a sweep, a side-by-side run, a map, a mixture, a decomposition, a scaling study or a
    folder of claims; the run may lie up to six folders below it.
    """
    for parent in list(run.resolve().parents)[:DEPTH]:
        if any((parent / name).is_file() for name in STUDIES):
            return parent
    return None


def is_run(folder: Path) -> bool:
    """Say whether a folder has the config.yaml that a run writes first."""
    try:
        with (folder / "config.yaml").open("rb") as file:
            sealed = file.read(len(SEALED)) == SEALED
    except OSError:
        return False
    return sealed or (folder / "environment.json").is_file()


def _walk(folder: Path, depth: int) -> Iterator[tuple[Path, bool]]:
    """Yield a folder and those below it, each with whether it is a run; none within a run."""
    is_one = is_run(folder)
    yield folder, is_one
    if is_one or not depth:
        return

    try:
        with os.scandir(folder) as entries:
            names = [each.name for each in entries if each.is_dir(follow_symlinks=False)]
    except OSError:  # a folder of somebody else's
        return
    for name in sorted(names):
        if not name.startswith("."):
            yield from _walk(folder / name, depth - 1)


def status_of(run: Path, generations: int) -> Status:
    """Say how a run of so many generations stands: `running` while a process writes it."""
    if is_being_written(run):
        return "running"
    if count_finished(run) >= generations:
        return "finished"
    return "stopped"


def is_being_written(run: Path) -> bool:
    """Say whether a process holds the lock of a run directory; nothing in it changes.

    Where files cannot be locked, nobody knows.
    """
    if fcntl is None:
        return False
    try:
        with (run / locks.RUN).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False
    except OSError:
        return False
