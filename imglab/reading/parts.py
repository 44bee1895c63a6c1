"""How a folder is read: the files of its parts, and what is in none of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imglab.reading.summary import LeftOut
from imglab.reading.tree import Tree


@dataclass(frozen=True)
class Part:
    """The files of a split, or of the whole folder.

    name    of the folder that holds them
    folder  that holds the class folders, if there are any
    files   sorted by path
    labels  name of the class folder of each file; None: the files are in no class folders
    """

    name: str
    folder: Path
    files: tuple[Path, ...]
    labels: tuple[str, ...] | None


@dataclass
class Parts:
    """The parts of a folder, what is in none of them, and what a person should know."""

    train: Part
    test: Part | None = None
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    validation: Part | None = None

    def leave_out(self, why: str, paths: Sequence[Path]) -> None:
        """Record files that are in no part, if there are any."""
        if paths:
            self.left_out.append(LeftOut("files", why, tuple(paths)))


@dataclass(frozen=True)
class Layout:
    """How a folder is read.

    train     the training part, or all files if there is no split
    test      the test part; None if the folder has none
    left_out  files of the wanted kind that are in neither
    others    files of other kinds, sorted
    notes     what a person should know of the reading, each a short phrase
    tree      everything below the folder
    validation  a part for validation, if another is the test part; it is left out
    """

    train: Part
    test: Part | None
    left_out: tuple[LeftOut, ...]
    others: tuple[Path, ...]
    notes: tuple[str, ...]
    tree: Tree
    validation: Part | None = None


def names_of(paths: Sequence[Path], most: int = 3) -> str:
    """Name the first files and say how many more there are."""
    names = ", ".join(path.name for path in paths[:most])
    if len(paths) > most:
        names += f" and {len(paths) - most:,} more"
    return names
