"""The files of a folder by what the rows of tables call them, never by the name of another one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from imglab.reading.names import SUFFIX, plain_name


class NamedFiles:
    """Finds the file that a row of a table names, in a folder of many.

    A name may be a path from the table's folder or from the root, or one that begins further
    outside, or the name of a single file alone. Its folders must agree with those of the file. The
    suffix may be left out, or be that of a file that was converted.
    """

    def __init__(self, root: Path, files: Sequence[Path]) -> None:
        """Take the files, which lie below `root`; they are looked through when one is asked for."""
        self._root = root
        self._files = files

    @cached_property
    def _whole(self) -> dict[str, Path | None]:
        """The file of each path from the root; None where two files have it but for a suffix."""
        index: dict[str, Path | None] = {}
        for path in self._files:
            for place in _stored(path.relative_to(self._root).as_posix()):
                if index.setdefault(place, path) != path:
                    index[place] = None
        return index

    @cached_property
    def _ends(self) -> dict[str, Path | None]:
        """The file of each end of a path; None where two files have it."""
        index: dict[str, Path | None] = {}
        for path in self._files:
            parts = path.relative_to(self._root).parts
            for depth in range(len(parts)):
                for end in _stored("/".join(parts[depth:])):
                    if index.setdefault(end, path) != path:
                        index[end] = None
        return index

    def find(self, name: str, folder: Path) -> Path | None:
        """Return the file that a table in `folder` names; None where there is none, or several."""
        parts = PurePosixPath(name.replace("\\", "/").strip()).parts
        parts = tuple(part for part in parts if part not in (".", "..", "/"))
        if not parts:
            return None
        beside = (*folder.relative_to(self._root).parts, *parts)
        for spelling in _spellings("/".join(beside)):
            if spelling in self._whole:
                return self._whole[spelling]
        for spelling in _spellings("/".join(parts)):
            if spelling in self._ends:
                return self._ends[spelling]

        # A path from further outside ends with the whole path below the root.
        for depth in range(1, len(parts)):
            for spelling in _spellings("/".join(parts[depth:])):
                if spelling in self._whole:
                    return self._whole[spelling]
        return None


def _stored(place: str) -> list[str]:
    """Return the keys of a path: as it is, and with nothing behind the last full stop."""
    plain = plain_name(place)
    return list(dict.fromkeys([plain, f"{plain.rpartition('.')[0] or plain}."]))


def _spellings(place: str) -> list[str]:
    """Return the keys by which a path is looked up: as it is, without its suffix, or as a stem."""
    plain = plain_name(place)
    return list(dict.fromkeys([plain, f"{plain}.", f"{SUFFIX.sub('', plain)}."]))
