"""The files of a folder by the ways in which people and tools name them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

DEEPEST = 4
"""Folders and name by which a file is recognized, counted from the end."""

NUMBERED = re.compile(r"#\d+\Z")

SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}\Z")


class Names:
    """The files of a folder, by the ways in which a list may name them.

    A folder may hold a million files, and most folders have no list: what is looked up is gathered
    when it is first asked for.
    """

    def __init__(self, root: Path, files: Sequence[Path]) -> None:
        self._root = root
        self._files = files

    @cached_property
    def _by_name(self) -> dict[str, Path | None]:
        """The file of each name without folders; None where two files have it."""
        index: dict[str, Path | None] = {}
        for path in self._files:
            for name in {path.name, path.stem}:
                if index.setdefault(plain_name(name), path) != path:
                    index[plain_name(name)] = None
        return index

    @cached_property
    def _by_place(self) -> dict[str, Path | None]:
        """The file of each name with some of the folders around; None where two files have it."""
        index: dict[str, Path | None] = {}
        for path in self._files:
            parts = path.relative_to(self._root).parts[-DEEPEST:]
            for depth in range(len(parts) - 1):
                for name in {path.name, path.stem}:
                    key = plain_name("/".join([*parts[depth:-1], name]))
                    if index.setdefault(key, path) != path:
                        index[key] = None
        return index

    def find(self, name: str) -> Path | None:
        """Return the file of this name, which may begin with folders around; None if unclear.

        Flickr8k numbers the captions of an image by signs behind its name, as in `a.jpg#0`. The
        name may have another suffix than the file, which was converted.
        """
        name = NUMBERED.sub("", name)
        return self._find(name) or self._find(SUFFIX.sub("", name))

    def _find(self, name: str) -> Path | None:
        parts = name.replace("\\", "/").strip("/ ").split("/")[-DEEPEST:]
        name_alone = plain_name(parts[-1])
        path = self._by_name.get(name_alone)
        if path is not None or name_alone not in self._by_name:
            return path
        for depth in range(len(parts) - 1):
            key = plain_name("/".join(parts[depth:]))
            if key in self._by_place:
                return self._by_place[key]
        return None


def plain_name(name: str) -> str:
    """Return a name as it compares: in any case, however its accents are written."""
    return unicodedata.normalize("NFC", name).casefold()
