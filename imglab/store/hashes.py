"""Lists of hashes that show that files are as they were written; the manifest of a generation is the last of them.

A list is itself a file in the folder that it is about. A file is taken off it before it is written anew and put on it
afterwards, so that what is listed is whole, and what is not may be half of something. No torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from imglab import distributed
from imglab.errors import InputError
from imglab.store import files
from imglab.store.files import read_signed
from imglab.store.layout import MANIFEST

SEAL = ".files.json"


def names(folder: Path, *within: str) -> list[str]:
    """Name every file in a folder and below it, by its path from there; manifests and hidden files left out.

    within  files and folders in it, of which alone to tell; those that are not there are left out
    """
    tops = sorted(folder.iterdir()) if not within else [folder / name for name in sorted(within)]
    found = [
        path
        for top in tops
        for path in (sorted(top.rglob("*")) if top.is_dir() else [top])
        if path.is_file()
    ]
    each = [path.relative_to(folder).as_posix() for path in found]
    return [name for name in each if name != MANIFEST and name[0] != "."]


def listed(folder: Path) -> dict[str, str]:
    """Return the list of a folder: name -> sha256; empty where there is none. InputError where it is damaged."""
    path = folder / SEAL
    return dict(read_signed(path, ("files",))["files"]) if path.exists() else {}


@contextmanager
def written(folder: Path, *changing: str, made_again: bool = False) -> Iterator[None]:
    """Let files and folders of `folder` be written: off its list before, on it afterwards.

    made_again  a list that is damaged is begun anew, since all that it lists is made from other files
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
    kept = {
        name: sign for name, sign in before.items() if PurePosixPath(name).parts[0] not in changing
    }
    if kept != before:
        _write(folder, kept)
    yield
    _write(folder, {**kept, **_hashes(folder, names(folder, *changing))})


def complete(folder: Path) -> None:
    """Put on a folder's list what is in it and not listed yet."""
    before = listed(folder)
    if added := [name for name in names(folder) if name not in before]:
        _write(folder, {**before, **_hashes(folder, added)})


def link(source: Path, target: Path) -> None:
    """Link what is in a folder into the new folder `target`, and list it there."""
    files.link(source, target)
    complete(target)


def discard_unlisted(folder: Path) -> None:
    """Remove what is in a folder and not on its list: nobody knows whether it is whole."""
    kept = {PurePosixPath(name).parts[0] for name in listed(folder)}
    for path in sorted(folder.iterdir()):
        if path.name not in kept and path.name != SEAL:
            files.remove(path)


def changed(folder: Path, expected: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Compare files with a list of them, which may be a stranger's: yield (name, what is wrong).

    No path that leaves the folder is opened, by its name or by a link.
    """
    for name, sign in expected.items():
        try:
            what = _wrong(folder, name, sign)
        except OSError as error:
            what = f"cannot be read: {error.strerror}"
        if what is not None:
            yield name, what


def leads_outside(name: str) -> bool:
    """Say whether a listed name is none of a file in its folder."""
    path = PurePosixPath(name)
    return not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name


def _wrong(folder: Path, name: str, sign: object) -> str | None:
    if leads_outside(name):
        return "is listed and lies outside"
    parts = PurePosixPath(name).parts
    if any(folder.joinpath(*parts[: at + 1]).is_symlink() for at in range(len(parts))):
        return "is a link, which a run does not make"
    path = folder / name
    if not path.is_file():
        return "is missing"
    return None if files.sha256_file(path) == sign else "is not as it was written"


def faults(folder: Path) -> Iterator[tuple[str, str]]:
    """Compare what a folder's own list names with it: yield (name, what is wrong)."""
    try:
        expected = listed(folder)
    except InputError as error:
        yield SEAL, error.problems[0].what
        return
    yield from changed(folder, expected)


def _hashes(folder: Path, those: Iterable[str]) -> dict[str, str]:
    return {name: files.sha256_file(folder / name) for name in those}


def _write(folder: Path, found: Mapping[str, str]) -> None:
    files.write_signed(folder / SEAL, {"files": dict(sorted(found.items()))})
