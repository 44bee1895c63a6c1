"""Files that are either complete or absent: write to a temporary name, sync, rename.

In a run of several processes only the main one writes and removes. No torch.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from imglab import distributed
from imglab.errors import InputError, Problem
from imglab.failures import error_number, raise_if_unavailable
from imglab.store.encoding import json_bytes as json_bytes
from imglab.store.encoding import signed_bytes as signed_bytes
from imglab.store.modes import current_umask
from imglab.store.temporaries import forget, leftovers, new_temporary

UNSYNCABLE = frozenset(
    {
        errno.EACCES,
        errno.EBADF,
        errno.EINVAL,
        errno.ENOSYS,
        errno.ENOTSUP,
        errno.EOPNOTSUPP,
        errno.EPERM,
    }
)
"""What file systems that sync no folders answer; a failing or full disk answers otherwise."""

CLOSED = 0o600
"""Mode of a file that only its owner can read."""

DAMAGED = "the file is damaged"
MISMATCH = "content does not match its recorded hash"

MOST_JSON = 200_000_000
"""Characters of the longest JSON file that is read."""

_records: list[dict[Path, str]] = []
"""Where the hashes of what is written are collected, the outermost collection first."""


def make_folder(folder: Path) -> None:
    """Create a folder to write into, if it does not exist; InputError if that is impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"cannot be created: {error.strerror}"
        raise InputError(Problem(str(folder), what, "choose another --out")) from error


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable, so that a rename survives a power cut.

    Some file systems of networks and of containers sync files but not folders: there the names are
    as durable as the system makes them by itself. OSError where the disk fails.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in UNSYNCABLE:
            raise


def sync_file(path: Path) -> None:
    """Make the bytes of `path` durable."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file or folder, make it durable, then rename it to `path`.

    The temporary name is nobody else's. If anything fails, nothing of it is left.
    """
    if distributed.is_main():
        _write_and_rename(path, write, None)


def follow_umask(path: Path) -> None:
    """Give a file, or all files below a folder, the mode that the umask gives to new files.

    Some libraries (safetensors) write files that nobody else in a group could read.
    """
    paths = [path]
    if path.is_dir():
        paths = [inner for inner in path.rglob("*") if inner.is_file()]

    closed = [inner for inner in paths if inner.stat().st_mode & 0o777 == CLOSED]
    if not closed:
        return
    mode = 0o666 & ~current_umask()
    if mode != CLOSED:
        for inner in closed:
            inner.chmod(mode)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, all of it or nothing."""
    if distributed.is_main():
        sha = hashlib.sha256(content).hexdigest()
        _write_and_rename(path, lambda temporary: _write(temporary, content), sha)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON with a fixed layout, so that equal values give equal bytes.

    ValueError for NaN and infinite numbers, which JSON does not have.
    """
    write_bytes(path, json_bytes(value))


def write_signed(path: Path, value: Mapping[str, Any]) -> None:
    """Write an object as JSON with its own hash: the key `self` is the sha256 of the rest."""
    write_bytes(path, signed_bytes(value))


def read_signed(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return the object in a file that `write_signed` wrote, without the key `self`.

    InputError if the file cannot be read, lacks one of `keys`, or does not match its hash.
    """
    text, tree = _read_json(path, (*keys, "self"))
    value = {key: entry for key, entry in tree.items() if key != "self"}

    # Encoding raises ValueError for a number that JSON does not have, and for half a character.
    try:
        unchanged = signed_bytes(value) == text.encode()
    except ValueError:
        unchanged = False
    if not unchanged:
        raise InputError(Problem(str(path), MISMATCH, DAMAGED))
    return value


def read_json(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return the object in a JSON file.

    InputError if it cannot be read, lacks one of `keys` or is larger than any that a run has;
    Unavailable if the system cannot read it now.
    """
    return _read_json(path, keys)[1]


def _read_json(path: Path, keys: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """Return the text of a JSON file, as it stands in the file, and the object in it."""
    try:
        # Reading a pipe would never end.
        if path.exists() and not path.is_file():
            raise ValueError("it is not a file")
        with path.open(encoding="utf-8", newline="") as file:
            text = file.read(MOST_JSON + 1)
        if len(text) > MOST_JSON:
            raise ValueError(f"it is longer than {MOST_JSON // 10**6} million characters")
        tree = json.loads(text)
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise_if_unavailable(error, path, ours=True)
        if isinstance(error, FileNotFoundError) and not path.parent.exists():
            what = "was removed, or moved, while it was in use"
            remedy = "run the same command again"
            raise InputError(Problem(str(path.parent), what, remedy)) from error
        raise InputError(Problem(str(path), f"cannot be read: {error}", DAMAGED)) from error

    missing = [key for key in keys if not isinstance(tree, dict) or key not in tree]
    if missing:
        raise InputError(Problem(str(path), f"lacks the key {missing[0]!r}", DAMAGED))
    return text, dict(tree)


def sha256_file(path: Path) -> str:
    """Return the hexadecimal sha256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def remove(path: Path) -> None:
    """Remove a file or a folder if it exists."""
    if not distributed.is_main():
        return
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_temporaries(folder: Path, of: str | None = None) -> None:
    """Remove what writers that are gone have left in `folder`; outside a run, only of one name."""
    if not distributed.is_main():
        return
    for leftover in leftovers(folder, of):
        remove(leftover)


@contextmanager
def recorded() -> Iterator[dict[Path, str]]:
    """Collect the sha256 of every file that this process writes meanwhile, by its path.

    The hash is that of the bytes as they were handed to the system, or lay under a name that no
    other process uses: whatever stands under the file's own name later has to match it.
    """
    shas: dict[Path, str] = {}
    _records.append(shas)
    try:
        yield shas
    finally:
        _records.remove(shas)


def _write_and_rename(path: Path, write: Callable[[Path], None], sha: str | None) -> None:
    """Write and rename a file or a folder; `sha` is the hash of the file, if it is known."""
    temporary = new_temporary(path)
    try:
        _write_temporary(temporary, write)
        follow_umask(temporary)
        _sync(temporary)
        shas = {path: sha}
        if sha is None and _records:
            shas = _hashes_below(temporary, path)
        os.replace(temporary, path)
    except BaseException:
        _discard(temporary)
        raise
    finally:
        forget(temporary)

    for record in _records:
        record.update({each: digest for each, digest in shas.items() if digest is not None})
    sync_folder(path.parent)


def _hashes_below(temporary: Path, path: Path) -> dict[Path, str | None]:
    """Return the hash of every file of a temporary file or folder, by its path once renamed."""
    if not temporary.is_dir():
        return {path: sha256_file(temporary)}
    inner = (each for each in temporary.rglob("*") if each.is_file())
    return {path / each.relative_to(temporary): sha256_file(each) for each in inner}


def _discard(temporary: Path) -> None:
    """Remove what a failed write has left, if the disk lets that happen."""
    try:
        remove(temporary)
    except OSError:
        # A later command removes it.
        return


def _write_temporary(temporary: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill `temporary`; a full or failing disk is always an OSError."""
    try:
        write(temporary)
    except Exception as error:
        # Libraries wrap the system's error in classes of their own, and name its number.
        code = error_number(error)
        if code is None or isinstance(error, OSError):
            raise
        raise OSError(code, os.strerror(code), str(temporary)) from error


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)


def _sync(path: Path) -> None:
    """Make a file, or a folder and everything below it, durable."""
    if not path.is_dir():
        sync_file(path)
        return

    for inner in sorted(path.rglob("*")):
        if inner.is_dir():
            sync_folder(inner)
        else:
            sync_file(inner)
    sync_folder(path)
