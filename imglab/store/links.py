"""A run holds plain files only: links and pipes in it are refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from imglab.errors import InputError, Problem
from imglab.store.groups import all_run_folders
from imglab.store.layout import CHAINS, FORK, FORK_PARENT, SWEEP

OWN = (
    "config.yaml",
    "environment.json",
    "events.jsonl",
    CHAINS,
    SWEEP,
    FORK,
    FORK_PARENT,
    "summary.json",
    "shared",
    "marks",
)
"""What is read of a run's directory, beside its generations."""


WRITTEN = (".files.json", ".lock", "damaged", "report.html", "report_files", "tracking")
"""What is only written there: a link in place of one would lead outside."""


DEEPEST = 16
"""Folders of a run within each other at most."""


LINK = "is a link or no file, which a run does not make"


def check_links(folder: Path) -> None:
    """Raise InputError where what is read of a run is a link, which may lead anywhere, or a pipe, which never ends."""
    wrong = islice(linked(folder), 5)
    if problems := [Problem(str(path), what, "put the file itself there") for path, what in wrong]:
        raise InputError(problems)


def linked(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield what of a run, or of the runs in it, is a link or no file, or lies too deep; and what is wrong with it."""
    plain = True
    for top in sorted(folder.iterdir()) if folder.is_dir() else ():
        if top.name in OWN or top.name in WRITTEN or top.name.startswith("generation_"):
            for found in _linked(top, None if top.name in WRITTEN else DEEPEST):
                plain = False
                yield found
    if plain and ((folder / SWEEP).is_file() or (folder / CHAINS).is_file()):
        arms: dict[Path, bool] = {}
        for run in all_run_folders(folder):
            if run.parent != folder and run.parent not in arms:
                arms[run.parent] = not run.parent.is_symlink()
                yield from () if arms[run.parent] else [(run.parent, LINK)]
            if run.is_symlink():
                yield run, LINK
            elif arms.get(run.parent, True):
                yield from linked(run)


def _linked(path: Path, deeper: int | None) -> Iterator[tuple[Path, str]]:
    """Look at a path and, with `deeper`, at so many folders below it."""
    if path.is_symlink() or not (path.is_file() or path.is_dir()):
        yield path, LINK
    elif deeper == 0 and path.is_dir():
        yield path, "lies deeper than a run makes folders"
    elif deeper and path.is_dir():
        with os.scandir(path) as entries:
            names = sorted(
                entry.name for entry in entries if not entry.is_file(follow_symlinks=False)
            )
        for name in names:  # plain files, most of what there is, need no second look
            yield from _linked(path / name, deeper - 1)
