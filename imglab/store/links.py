"""A run contains only regular files and folders: links and pipes in it are refused. No torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from imglab.errors import InputError, Problem
from imglab.store.groups import all_run_folders
from imglab.store.layout import ANNOTATIONS, CHAINS, FORK, FORK_PARENT, HEAD, JUDGES, SWEEP

OWN = (
    "config.yaml",
    "environment.json",
    "events.jsonl",
    CHAINS,
    SWEEP,
    FORK,
    FORK_PARENT,
    HEAD,
    "summary.json",
    "shared",
    ANNOTATIONS,
)
"""What is read in the directory of a run, besides its generations."""

WRITTEN = (
    ".files.json",
    ".lock",
    ".results.lock",
    "damaged",
    JUDGES,
    "preview.png",
    "report.html",
    "report_files",
    "tracking",
)
"""What is only written there. A link in its place would lead the writer outside."""

DEEPEST = 16
"""The deepest nesting of folders in a run."""

LINK = "is a symlink or a special file; a run contains only regular files"

SHOWN = 5
"""Links that an error names, at most."""


def check_links(folder: Path) -> None:
    """Raise InputError if a run has a link, which leads anywhere, or a pipe, which never ends."""
    wrong = list(islice(linked(folder), SHOWN))
    if wrong:
        remedy = "put the file itself there"
        raise InputError(Problem(str(path), what, remedy) for path, what in wrong)


def linked(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each path of a run, or of the runs in it, that must not be read, and what is wrong.

    These are links, special files, and folders that are nested too deep.
    """
    plain = True
    for path, what in _linked_of_run(folder):
        plain = False
        yield path, what

    # What names the runs of a group is opened only if it is itself a regular file.
    in_group = (folder / SWEEP).is_file() or (folder / CHAINS).is_file()
    if plain and in_group:
        yield from _linked_of_group(folder)


def _linked_of_run(folder: Path) -> Iterator[tuple[Path, str]]:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.name in WRITTEN:
            if _is_irregular(path):
                yield path, LINK
        elif path.name in OWN or path.name.startswith("generation_"):
            yield from _linked_below(path, DEEPEST)


def _linked_of_group(folder: Path) -> Iterator[tuple[Path, str]]:
    """Look at the runs of a sweep or a side-by-side run, and at the folders of a sweep's arms."""
    linked_arms: dict[Path, bool] = {}
    for run in all_run_folders(folder):
        arm = run.parent
        if arm != folder and arm not in linked_arms:
            linked_arms[arm] = arm.is_symlink()
            if linked_arms[arm]:
                yield arm, LINK

        if run.is_symlink():
            yield run, LINK
        elif not linked_arms.get(arm, False):
            yield from linked(run)


def _linked_below(path: Path, levels: int) -> Iterator[tuple[Path, str]]:
    """Look at a path and at so many levels of folders below it."""
    if _is_irregular(path):
        yield path, LINK
        return
    if not path.is_dir():
        return
    if levels == 0:
        yield path, f"is nested deeper than the {DEEPEST} levels of folders in a run"
        return

    # Regular files, most of what there is, need no second look.
    with os.scandir(path) as entries:
        names = sorted(e.name for e in entries if not e.is_file(follow_symlinks=False))
    for name in names:
        yield from _linked_below(path / name, levels - 1)


def _is_irregular(path: Path) -> bool:
    """Say whether a path is a symlink, a pipe or another special file, or absent."""
    return path.is_symlink() or not (path.is_file() or path.is_dir())
