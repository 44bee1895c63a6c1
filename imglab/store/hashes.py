"""Hash lists, which show that files are unchanged; a generation's manifest is the last of them.

A hash list is itself a file in the folder that it describes. A file is taken off the list before it
is written anew and put back afterwards: what is listed is complete, what is not may be half of
something. No torch.
"""

from __future__ import annotations

import errno
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath

from imglab import distributed
from imglab.errors import InputError, Problem
from imglab.failures import AGAIN, Unavailable, raise_if_unavailable
from imglab.store import copies, files, locks
from imglab.store.files import read_signed
from imglab.store.layout import MANIFEST
from imglab.store.links import LINK

HASH_LIST = ".files.json"
"""File name of a hash list."""

QUICK = 1.0
"""Seconds of work that may be lost because it is not listed at once."""


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

    made_again  the files are results, made from other files: one process at a time writes them, and
                starts a new list if the list is damaged
    """
    if not distributed.is_main():
        yield
        return

    with ExitStack() as stack:
        if made_again:
            stack.enter_context(locks.results(folder))
        before = _listed_before(folder, made_again=made_again)
        unchanged = {name: sha for name, sha in before.items() if top_of(name) not in changing}
        if unchanged != before:
            _write(folder, unchanged)

        with files.recorded() as shas:
            yield
        _write(folder, {**unchanged, **_hashes_now(folder, changing, shas)})


class OpenList:
    """The hash list of a folder in which one process works; quick changes are listed together.

    The file is written at the first change, and then at those that come a second or more after it
    was last written. Who is killed makes again what is not listed: the work of a second.
    """

    def __init__(self, folder: Path) -> None:
        """Go on with the list that is in the folder; InputError if it is damaged."""
        self.folder = folder
        self._in_file: Mapping[str, str] = {}
        if distributed.is_main():
            self._in_file = listed(folder)
        self.hashes = dict(self._in_file)
        """What is complete: name -> sha256."""
        self._written_at = -math.inf

    @contextmanager
    def written(self, *changing: str) -> Iterator[None]:
        """Let files and folders be written, as the function `written` does."""
        if not distributed.is_main():
            yield
            return

        self.hashes = {n: sha for n, sha in self.hashes.items() if top_of(n) not in changing}
        was_listed = any(top_of(name) in changing for name in self._in_file)
        if was_listed:
            self.flush()

        # What was listed may have taken long, and is listed again at once.
        with files.recorded() as shas:
            yield
        self.hashes |= _hashes_now(self.folder, changing, shas)
        if was_listed or time.monotonic() - self._written_at >= QUICK:
            self.flush()

    def flush(self) -> None:
        """Write the list, if it is not in the file yet."""
        if self.hashes != self._in_file:
            _write(self.folder, self.hashes)
            self._in_file = dict(self.hashes)
            self._written_at = time.monotonic()


def _hashes_now(folder: Path, changed: Iterable[str], shas: Mapping[Path, str]) -> dict[str, str]:
    """Return the hashes of files that were written, and of those in folders that were.

    What this process wrote is listed as it was written (`shas`), and not as it is read back.
    """
    recorded = {name: shas.get(folder / name) for name in names(folder, *changed)}
    written_now = {name: sha for name, sha in recorded.items() if sha is not None}
    others = [name for name in recorded if name not in written_now]
    return {**written_now, **_hashes(folder, others)}


def _listed_before(folder: Path, *, made_again: bool) -> dict[str, str]:
    try:
        return listed(folder)
    except InputError:
        if not made_again:
            raise
        return {}


def complete(folder: Path) -> None:
    """Put every file of a folder that is not on its hash list on it."""
    before = listed(folder)
    added = [name for name in names(folder) if name not in before]
    if added:
        _write(folder, {**before, **_hashes(folder, added)})


def copy(source: Path, target: Path) -> None:
    """Copy the content of a folder into the new folder `target`, and list it there.

    InputError if a copy does not match the hash that the folder lists for the original.
    """
    expected = listed(source)
    copies.copy_visible(source, target)
    shas = _hashes(target, names(target))
    check_copies(source, shas, expected)
    _write(target, shas)


def check_copies(source: Path, shas: Mapping[str, str], expected: Mapping[str, object]) -> None:
    """Raise InputError unless the hashes of copies are those that are recorded for `source`."""
    for name, sha in shas.items():
        if expected.get(name, sha) != sha:
            remedy = "run the same command again; if it stays so, imglab verify"
            what = "was changed, or read wrongly, while it was copied"
            raise InputError(Problem(str(source / name), what, remedy))


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
        what = _wrong(folder, name, sha)
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
    """Say what is wrong with a listed file; None: it is as it was written.

    Unavailable if the system does not let anybody know.
    """
    if leads_outside(name):
        return "is listed, but lies outside its folder"

    try:
        return _difference(folder, name, sha)
    except OSError as error:
        raise_if_unavailable(error, folder / name, ours=True)
        if error.errno == errno.ENOENT:
            what = "was there a moment ago and cannot be opened now"
            raise Unavailable(f"{folder / name}: {what}; {AGAIN}") from error
        return f"cannot be read: {error.strerror}"


def _difference(folder: Path, name: str, sha: object) -> str | None:
    path = folder
    for part in PurePosixPath(name).parts:
        path = path / part
        if path.is_symlink():
            return LINK

    if path.is_file():
        if files.sha256_file(path) != sha:
            return files.MISMATCH
        return None

    # What its folder lists and cannot be looked at is not missing.
    is_listed = path.parent.is_dir() and path.name in os.listdir(path.parent)
    if is_listed and not path.exists():
        raise Unavailable(f"{path}: its folder lists it, but it cannot be looked at; {AGAIN}")
    return "is missing"


def _hashes(folder: Path, paths: Iterable[str]) -> dict[str, str]:
    return {name: files.sha256_file(folder / name) for name in paths}


def _write(folder: Path, hashes: Mapping[str, str]) -> None:
    files.write_signed(folder / HASH_LIST, {"files": dict(sorted(hashes.items()))})
