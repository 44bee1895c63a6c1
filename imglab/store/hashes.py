"""Hash lists, which show that files are unchanged; a generation's manifest is the last of them.

A hash list is itself a file in the folder that it describes. A file is taken off the list before it
is written anew and put back afterwards: what is listed is complete, what is not may be half of
something. No torch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from imglab import distributed
from imglab.errors import InputError
from imglab.store import files
from imglab.store.files import read_signed
from imglab.store.layout import MANIFEST
from imglab.store.links import LINK

HASH_LIST = ".files.json"
"""File name of a hash list."""


def names(folder: Path, *within: str) -> list[str]:
    """Name every file below a folder by its path from there, without manifests and hidden files.

    within  files and folders to look at; default: everything in the folder
    """
    paths: list[Path] = []
    for name in sorted(within or os.listdir(folder)):
        top = folder / name
        below = sorted(top.rglob("*")) if top.is_dir() else [top]
        paths += (path for path in below if path.is_file())

    relative = [path.relative_to(folder).as_posix() for path in paths]
    return [name for name in relative if name != MANIFEST and name[0] != "."]


def listed(folder: Path) -> dict[str, str]:
    """Return the hash list of a folder, name -> sha256; InputError if the list is damaged."""
    path = folder / HASH_LIST
    if not path.exists():
        return {}
    return dict(read_signed(path, ("files",))["files"])


@contextmanager
def written(folder: Path, *changing: str, made_again: bool = False) -> Iterator[None]:
    """Let files and folders of `folder` be written: off its hash list before, on it afterwards.

    made_again  start a new list if the list is damaged: all its files are made from other files
    """
    if not distributed.is_main():
        yield
        return

    try:
        before = listed(folder)
    except InputError:
        if not made_again:
            raise
        before = {}

    unchanged = {name: sha for name, sha in before.items() if top_of(name) not in changing}
    if unchanged != before:
        _write(folder, unchanged)
    yield
    _write(folder, {**unchanged, **_hashes(folder, names(folder, *changing))})


def complete(folder: Path) -> None:
    """Put every file of a folder that is not on its hash list on it."""
    before = listed(folder)
    added = [name for name in names(folder) if name not in before]
    if added:
        _write(folder, {**before, **_hashes(folder, added)})


def link(source: Path, target: Path) -> None:
    """Link the content of a folder into the new folder `target`, and list it there."""
    files.link(source, target)
    complete(target)


def discard_unlisted(folder: Path) -> None:
    """Remove what is not on a folder's hash list, because it may be incomplete."""
    complete_ones = {top_of(name) for name in listed(folder)}
    for path in sorted(folder.iterdir()):
        if path.name not in complete_ones and path.name != HASH_LIST:
            files.remove(path)


def faults(folder: Path) -> Iterator[tuple[str, str]]:
    """Compare a folder with its own hash list: yield (name, what is wrong)."""
    try:
        expected = listed(folder)
    except InputError as error:
        yield HASH_LIST, error.problems[0].what
        return
    yield from changed(folder, expected)


def changed(folder: Path, expected: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Compare a folder with a hash list: yield (name, what is wrong).

    The list may come from a stranger: no path that leaves the folder, by its name or by a link, is
    opened.
    """
    for name, sha in expected.items():
        try:
            what = _wrong(folder, name, sha)
        except OSError as error:
            what = f"cannot be read: {error.strerror}"
        if what is not None:
            yield name, what


def leads_outside(name: str) -> bool:
    """Say whether a listed name cannot be that of a file in its folder."""
    path = PurePosixPath(name)
    return not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name


def top_of(name: str) -> str:
    """Return the first part of a listed name: the file or folder that is written as a whole."""
    parts = PurePosixPath(name).parts
    return parts[0] if parts else name


def _wrong(folder: Path, name: str, sha: object) -> str | None:
    if leads_outside(name):
        return "is listed, but lies outside its folder"

    path = folder
    for part in PurePosixPath(name).parts:
        path = path / part
        if path.is_symlink():
            return LINK

    if not path.is_file():
        return "is missing"
    if files.sha256_file(path) != sha:
        return files.MISMATCH
    return None


def _hashes(folder: Path, paths: Iterable[str]) -> dict[str, str]:
    return {name: files.sha256_file(folder / name) for name in paths}


def _write(folder: Path, hashes: Mapping[str, str]) -> None:
    files.write_signed(folder / HASH_LIST, {"files": dict(sorted(hashes.items()))})
