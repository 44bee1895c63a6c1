"""The files below a folder: links followed, loops ended, what systems leave behind passed over."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from imglab.errors import InputError, Problem
from imglab.failures import raise_if_unavailable

SYSTEM_NAMES = frozenset(
    {
        "__macosx",  # macOS, in archives
        "icon\r",
        "thumbs.db",  # Windows
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "desktop.ini",
        "$recycle.bin",
        "system volume information",
        "lost+found",  # Linux
        "@eadir",  # Synology and QNAP
        "@tmp",
        "@__thumb",
        "#recycle",
        "#snapshot",
        "__pycache__",
    }
)
"""Files and folders that systems make beside a person's own, in lower case."""

SYSTEM_PREFIXES = (".", "~$")
"""Hidden names, with them `.ipynb_checkpoints`, `._x.png` and `.DS_Store`; locks of Office."""

MOST_FILES = 10_000_000
"""Files below one folder that are listed."""

MOST_REPEATED = 100_000
"""Files and folders that are listed a second time, through links: they may multiply a few folders
without end."""


@dataclass(frozen=True)
class Tree:
    """What lies below a folder.

    files       whatever is not a folder, sorted; whether they can be read is not known
    folders     folders below it, sorted
    hidden      hidden and system files and folders that were passed over, sorted
    looped      links to folders around them, which were not entered, sorted
    read_twice  folders that were entered a second time, under another name, sorted
    """

    root: Path
    files: tuple[Path, ...]
    folders: tuple[Path, ...]
    hidden: tuple[Path, ...]
    looped: tuple[Path, ...]
    read_twice: tuple[Path, ...]


@dataclass
class _Walk:
    """A walk through folders, and what it has met."""

    where: str
    files: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    hidden: list[Path] = field(default_factory=list)
    looped: list[Path] = field(default_factory=list)
    read_twice: list[Path] = field(default_factory=list)
    entered: set[tuple[int, int]] = field(default_factory=set)
    repeated: int = 0

    def enter(self, step: _Step) -> Iterator[_Step]:
        """List a folder; yield the folders in it that are to be entered."""
        around = step.around
        for entry in _entries(step.folder, self.where):
            self._count(step)
            path = step.folder / entry.name
            if is_system(entry.name):
                self.hidden.append(path)
                continue

            identity = _folder_identity(entry)
            if identity is None:
                self.files.append(path)
            elif identity in around:
                self.looped.append(path)
            else:
                self.folders.append(path)
                is_repeated = identity in self.entered
                if is_repeated:
                    self.read_twice.append(path)
                self.entered.add(identity)
                yield _Step(path, around | {identity}, is_repeated)

    def _count(self, step: _Step) -> None:
        """Count an entry of a folder; InputError for too many."""
        self.repeated += step.is_repeated
        if self.repeated > MOST_REPEATED:
            what = f"more than {MOST_REPEATED:,} files and folders lie in it twice, through links"
            raise InputError(Problem(self.where, what, "remove the links"))
        if len(self.files) + len(self.folders) > MOST_FILES:
            what = f"more than {MOST_FILES:,} files and folders lie below it"
            raise InputError(Problem(self.where, what, "give a smaller folder"))


@dataclass(frozen=True)
class _Step:
    """A folder to enter.

    around       identities of the folders that hold it, and its own
    is_repeated  whether it was met before, under another name
    """

    folder: Path
    around: frozenset[tuple[int, int]]
    is_repeated: bool = False


def is_system(name: str) -> bool:
    """Say whether a file or folder of this name is hidden, or was made by a system."""
    return name.startswith(SYSTEM_PREFIXES) or name.lower() in SYSTEM_NAMES


def list_tree(root: Path, where: str) -> Tree:
    """List what lies below a folder, through links; a link to a folder around it ends there.

    Raises InputError, at the config's key `where`, for a folder that cannot be listed: what is in
    it would be missing without a word.
    """
    try:
        status = root.stat()
    except OSError as error:
        raise _unlisted(root, where, error) from error

    walk = _Walk(where)
    identity = (status.st_dev, status.st_ino)
    walk.entered.add(identity)
    steps = [_Step(root, frozenset({identity}))]
    while steps:
        step = steps.pop()
        steps += walk.enter(step)

    return Tree(
        root,
        tuple(sorted(walk.files)),
        tuple(sorted(walk.folders)),
        tuple(sorted(walk.hidden)),
        tuple(sorted(walk.looped)),
        tuple(sorted(walk.read_twice)),
    )


def _entries(folder: Path, where: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise _unlisted(folder, where, error) from error


def _folder_identity(entry: os.DirEntry[str]) -> tuple[int, int] | None:
    """Return what tells a folder from all others, through links; None if it is not a folder."""
    try:
        if not entry.is_dir():
            return None
        status = entry.stat()
    except OSError:  # a link that leads nowhere; whoever reads it as a file says so
        return None
    return status.st_dev, status.st_ino


def _unlisted(folder: Path, where: str, error: OSError) -> InputError:
    raise_if_unavailable(error, folder)
    what = f"the folder {str(folder)!r} cannot be listed: {error.strerror}"
    return InputError(Problem(where, what, "check the path and its permissions"))
