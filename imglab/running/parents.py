"""The parent of a fork may move away, or be deleted, while the fork is made and after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from imglab.errors import InputError, Problem
from imglab.failures import Unavailable
from imglab.store import files, layout


@contextmanager
def parent_stays(source: str) -> Iterator[None]:
    """Raise InputError in place of any other if a parent moves away while a fork is made from it.

    What is missing then says nothing of the parent: it is whole, and lies elsewhere.
    """
    folder, _, number = source.rpartition("@")
    parent = Path(folder)
    before = _hash_of(parent / "config.yaml")
    try:
        yield
    except (InputError, Unavailable, OSError) as error:
        is_same = _hash_of(parent / "config.yaml") == before
        if is_same and not _misses(error, parent):
            raise
        if parent.exists():
            raise InputError(changed_parent(parent)) from error
        what = "has moved, or was deleted, while the fork was made"
        remedy = f"name where it lies now, as RUN@{number}"
        raise InputError(Problem(f"the parent {parent}", what, remedy)) from error


def _hash_of(path: Path) -> str | None:
    """Return the hash of a file; None if it is not there, or is not a file any more."""
    try:
        return files.sha256_file(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _misses(error: BaseException, parent: Path) -> bool:
    """Say whether an error is that something of the parent was not where it had been."""
    if not isinstance(error, FileNotFoundError):
        return False
    return Path(str(error.filename)).is_relative_to(parent)


def changed_parent(parent: Path) -> Problem:
    """Return the problem of a parent whose generations are others than a moment ago."""
    what = "was changed while the fork was made"
    return Problem(f"the parent {parent}", what, "run the same command again")


def check_parent(out: Path, source: str, described: Mapping[str, Any]) -> None:
    """Raise InputError unless a fork that is there was made from `source`, `RUN@G`.

    A parent is known by its content wherever it lies, and by its name where it is gone.

    described  what the fork says of its parent
    """
    folder, _, number = source.rpartition("@")
    is_there = is_same = False
    if number == str(described["generation"]):
        manifest = manifest_of(Path(folder), described["generation"])
        is_there = manifest.is_file()
        is_same = is_there and files.sha256_file(manifest) == described["manifest"]

    origin = f"{described['parent']}@{described['generation']}"
    if not is_same and f"{Path(folder).resolve().name}@{number}" != origin:
        what = f"is a fork of {origin}, not of {source}"
        raise InputError(Problem(str(out), what, "choose another --out"))
    if is_there and not is_same:
        what = f"is a fork of another {source} than this"
        raise InputError(Problem(str(out), what, "choose another --out"))


def manifest_of(run: Path, g: int) -> Path:
    """Return where the manifest of a generation is, which tells a parent from any other run."""
    return layout.generation_folder(run, g) / layout.MANIFEST
