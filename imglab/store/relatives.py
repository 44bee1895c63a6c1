"""Runs that may have the same bytes as another one: a sweep's arms and cache, forks, parents.

Nothing records where a fork's parent lies, since it may have moved. What stands beside a run, or
belongs to the same sweep, is looked at, and believed by its hash alone. No torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from imglab.failures import AGAIN, Unavailable
from imglab.store import files, layout
from imglab.store.copies import copy_file
from imglab.store.fault import Fault
from imglab.store.hashes import HASH_LIST, leads_outside

MOST_FOLDERS = 2_000
"""Folders that are looked at beside a run."""


def heal(run: Path, faults: list[Fault], place: Path) -> Iterator[str]:
    """Copy over a damaged file what another run has under its hash; say of each where it was.

    The damaged file is moved into the folder `place` first.
    """
    folders = list(islice(_relatives(run), MOST_FOLDERS))
    for fault in faults:
        if fault.sha is None or not fault.path.is_relative_to(run):
            continue

        # A stranger's manifest may name any file: one that lies outside is nobody's to mend.
        name = fault.path.relative_to(run)
        if leads_outside(name.as_posix()):
            continue

        source = _same(name, fault.sha, folders)
        if source is not None:
            _replace(fault, source, place / name)
            yield f"{run}: {name} was taken from {source}"


def _replace(fault: Fault, source: Path, aside: Path) -> None:
    """Put the copy in its place in one step, once the damaged file lies under another name too."""
    if fault.path.is_file():
        files.make_folder(aside.parent)
        files.write_atomically(aside, lambda temporary: copy_file(fault.path, temporary))
    files.make_folder(fault.path.parent)
    files.write_atomically(fault.path, lambda temporary: _copy(source, temporary, fault.sha))


def _copy(source: Path, target: Path, sha: str | None) -> None:
    """Copy a file whose hash was right a moment ago; Unavailable if it is not in the copy."""
    copy_file(source, target)
    if files.sha256_file(target) != sha:
        raise Unavailable(f"{source}: was read wrongly; {AGAIN}")


def _same(name: Path, sha: str, folders: list[Path]) -> Path | None:
    """Return a file in one of the folders that has this hash, and lies where `name` says."""
    places = [name]
    # A sweep's cache holds the model of generation 0 outside any generation.
    if name.parts[0] == layout.generation_folder(Path(), 0).name:
        places.append(Path(*name.parts[1:]))

    for folder in folders:
        for place in places:
            if _has(folder, place, sha):
                return folder / place
    return None


def _has(folder: Path, place: Path, sha: str) -> bool:
    """Say whether a folder has a file with this hash; one that cannot be read has none."""
    path = folder / place
    try:
        may_have = _lists(path, place, sha) and _is_plain(folder, place)
        return may_have and files.sha256_file(path) == sha
    except OSError:
        return False


def _lists(path: Path, place: Path, sha: str) -> bool:
    """Say whether a run, or a cache, may have these bytes, by its own list of hashes."""
    if not path.is_file():
        return False
    if len(place.parts) == 1 or path.name == layout.MANIFEST:
        return True

    top = path.parents[len(place.parts) - 2]
    lists = [top / layout.MANIFEST, top / HASH_LIST, top.parent / HASH_LIST]
    return any(sha in each.read_text(errors="replace") for each in lists if each.is_file())


def _is_plain(folder: Path, place: Path) -> bool:
    """Say whether no part of a path below a folder is a link."""
    parts = [folder.joinpath(*place.parts[:count]) for count in range(len(place.parts) + 1)]
    return not any(part.is_symlink() for part in parts)


def _relatives(run: Path) -> Iterator[Path]:
    """Yield folders laid out as a run that may have files in common with it."""
    beside = run.resolve().parent

    # An arm of a sweep lies two folders below it.
    arms = _seen(beside.parent, _arms)
    yield from (path for path in arms if _is_other(path, run))
    yield from _seen(beside.parent, _cached)
    neighbours = _seen(beside, lambda folder: sorted(folder.iterdir()))
    yield from (path for path in neighbours if _is_other(path, run))


def _seen(folder: Path, look: Callable[[Path], list[Path]]) -> list[Path]:
    """Return what a look at a folder shows; nothing if the folder cannot be read."""
    try:
        return look(folder)
    except OSError:
        return []


def _arms(sweep: Path) -> list[Path]:
    if not (sweep / layout.SWEEP).is_file():
        return []
    return sorted(sweep.glob("*/seed-*"))


def _cached(sweep: Path) -> list[Path]:
    if not (sweep / layout.SWEEP).is_file():
        return []
    return layout.cache_entries(sweep)


def _is_other(path: Path, run: Path) -> bool:
    """Say whether a path is that of another run, as far as it can be looked at."""
    try:
        is_run = (path / "config.yaml").is_file() and not path.is_symlink()
        return is_run and path.resolve() != run.resolve()
    except OSError:
        return False
