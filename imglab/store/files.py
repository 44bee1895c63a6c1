"""Files that are either whole or not there: write to a temporary name, sync, rename.

In a run of several processes only the one that leads writes and removes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from imglab import distributed
from imglab.errors import InputError, Problem
from imglab.store import files

TEMPORARY = ".tmp-"


def make_folder(folder: Path) -> None:
    """Make a directory for what is to be written, if it is not there yet; InputError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = Problem(str(folder), f"cannot be made: {error.strerror}", "choose another --out")
        raise InputError(problem) from error


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable, so that a rename survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the bytes of `path` durable."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file or folder, make it durable, then give it the name `path`."""
    if not distributed.is_main():
        return
    temporary = path.parent / f"{TEMPORARY}{path.name}"
    remove(temporary)
    _write_or_full(temporary, write)
    if temporary.is_dir():
        for inner in sorted(temporary.rglob("*")):
            sync_folder(inner) if inner.is_dir() else sync_file(inner)
        sync_folder(temporary)
    else:
        sync_file(temporary)
    os.replace(temporary, path)
    sync_folder(path.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    write_atomically(path, lambda temporary: _write(temporary, content))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON with a fixed layout: the same value gives the same bytes. NaN is refused."""
    write_bytes(path, json_bytes(value))


def write_signed(path: Path, value: Mapping[str, Any]) -> None:
    """Write an object as JSON that signs itself: `self` is the sha256 of the rest."""
    write_bytes(path, signed_bytes(value))


def signed_bytes(value: Mapping[str, Any]) -> bytes:
    """Encode an object as the bytes that `write_signed` writes."""
    return json_bytes({**value, "self": hashlib.sha256(json_bytes(value)).hexdigest()})


def json_bytes(value: Any) -> bytes:
    """Encode `value` as the bytes that `write_json` writes."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def sha256_file(path: Path) -> str:
    """Return the hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as file:
        return _digest(file)


def link(source: Path, target: Path) -> None:
    """Link a file, or each file of a folder that is not hidden, under another name; copy where that cannot be done."""
    if source.is_dir():
        target.mkdir()
        for inner in sorted(source.iterdir()):
            if not inner.name.startswith("."):
                link(inner, target / inner.name)
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def remove(path: Path) -> None:
    """Remove a file or a folder if it is there."""
    if not distributed.is_main():
        return
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_temporaries(folder: Path) -> None:
    """Remove what an interrupted `write_atomically` left in `folder`."""
    for leftover in folder.glob(f"{TEMPORARY}*"):
        remove(leftover)


def _write_or_full(temporary: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill `temporary`; a disk that is full or fails is an OSError also where a library wraps it."""
    try:
        write(temporary)
    except Exception as error:
        if told := re.search(r"os error (\d+)\)", str(error)):
            number = int(told[1])
            raise OSError(number, os.strerror(number), str(temporary)) from error
        raise


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)


def _digest(file: Any) -> str:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


DAMAGED = "the file is damaged"


def read_signed(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return the object in a file of `files.write_signed`, unsigned again; InputError where a byte is changed."""
    found = read_json(path, (*keys, "self"))
    rest = {key: value for key, value in found.items() if key != "self"}
    try:
        same = files.signed_bytes(rest) == path.read_bytes()
    except ValueError:  # a number that JSON does not have, or half a character
        same = False
    if not same:
        raise InputError(Problem(str(path), "is not as it was written", DAMAGED))
    return rest


def read_json(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return the object in a JSON file; InputError where it cannot be read or lacks one of `keys`."""
    try:
        if path.exists() and not path.is_file():  # a pipe would never end
            raise OSError("it is not a file")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(Problem(str(path), f"cannot be read: {error}", DAMAGED)) from error
    missing = [key for key in keys if not isinstance(found, dict) or key not in found]
    if missing:
        raise InputError(Problem(str(path), f"has no {missing[0]!r}", DAMAGED))
    return dict(found)
