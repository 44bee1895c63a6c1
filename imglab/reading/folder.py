"""A folder as a tree of the wanted files in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Folder:
    """A folder that holds wanted files, in it or below it.

    direct   files that lie in it
    folders  its folders that hold wanted files, by name
    """

    path: Path
    direct: list[Path] = field(default_factory=list)
    folders: dict[str, Folder] = field(default_factory=dict)

    @classmethod
    def of(cls, root: Path, files: Sequence[Path]) -> Folder:
        """Sort files into the folders below `root` that hold them."""
        top = cls(root)
        depth = len(root.parts)
        for file in files:
            folder = top
            for name in file.parts[depth:-1]:
                if name not in folder.folders:
                    folder.folders[name] = cls(folder.path / name)
                folder = folder.folders[name]
            folder.direct.append(file)
        return top

    def files(self) -> list[Path]:
        """Return all files in it and below it, sorted by path."""
        files = list(self.direct)
        for folder in self.folders.values():
            files += folder.files()
        return sorted(files)

    def count(self) -> int:
        """Return how many files are in it and below it."""
        return len(self.direct) + sum(folder.count() for folder in self.folders.values())

    def is_mostly_direct(self) -> bool:
        """Say whether at least as many files lie in it as in its folders."""
        return 2 * len(self.direct) >= self.count()

    def only_folder(self) -> Folder | None:
        """Return its only folder, if no file lies beside it."""
        if self.direct or len(self.folders) != 1:
            return None
        return next(iter(self.folders.values()))
