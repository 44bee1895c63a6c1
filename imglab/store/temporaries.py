"""Names of files that are being written, and what dead processes have left of them. No torch.

The name says which process on which machine writes the file, so that no two processes write to one
name, and a process that finds a leftover can tell that its writer is gone.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY = ".tmp-"
"""Begins the name of a file or folder that is being written."""

LONGEST = 100
"""Characters of a file's name that its temporary name repeats: the last ones, with the suffix."""

ABANDONED = 24 * 3600.0
"""Seconds after which what another machine was writing, or this one before it was started anew,
counts as a leftover."""

LIBRARY = re.compile(r"\.tmp[A-Za-z0-9]{6}")
"""The names under which safetensors writes, beside the path that it is given."""

_PATTERN = re.compile(rf"{re.escape(TEMPORARY)}([0-9a-f]{{6}})-(\d+)-[0-9a-f]{{8}}-")


def _system() -> str:
    """Return six digits for the system whose process numbers this process sees.

    Containers of one machine, and machines that share a folder, may have one name in common.
    """
    name = socket.gethostname()
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8")
        name += f" {boot} {os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        # Systems other than Linux have no such files.
        pass
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:6]


_HOST = _system()

_writing: set[str] = set()
"""The temporary names that this process is writing to at the moment."""


def new_temporary(path: Path) -> Path:
    """Return a path beside `path` that no other process uses; `forget` it after the write."""
    process = f"{_HOST}-{os.getpid()}-{secrets.token_hex(4)}"
    name = f"{TEMPORARY}{process}-{path.name[-LONGEST:]}"
    _writing.add(name)
    return path.with_name(name)


def forget(temporary: Path) -> None:
    """Note that a temporary path is not written any more."""
    _writing.discard(temporary.name)


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """Lend a path as of `new_temporary`, which nobody sweeps away meanwhile."""
    temporary = new_temporary(path)
    try:
        yield temporary
    finally:
        forget(temporary)


def leftovers(folder: Path, of: str | None = None) -> list[Path]:
    """Return what processes that are gone have left in a folder.

    of  the name that they were writing, in a folder that is not the lab's own, where other names
        that begin like temporary ones may be a person's; None: any name
    """
    if not folder.is_dir():
        return []
    names = os.listdir(folder)
    if of is None:
        names = [name for name in names if name.startswith(TEMPORARY) or LIBRARY.fullmatch(name)]
    else:
        names = [name for name in names if _written(name) == of[-LONGEST:]]
    return [folder / name for name in names if _is_left(folder / name)]


def _written(name: str) -> str | None:
    """Return the end of the name that is written under a temporary one; None: it is no such name.

    Names of version 0.1, without a process, count as none.
    """
    parts = _PATTERN.match(name)
    if parts is None:
        return None
    return name[parts.end() :]


def _is_left(path: Path) -> bool:
    """Say whether nobody writes to a temporary path any more."""
    parts = _PATTERN.match(path.name)

    # Version 0.1 had no process in its names, and the library has none.
    if parts is None:
        return True
    if parts[1] != _HOST:
        return time.time() - path.lstat().st_mtime > ABANDONED

    pid = int(parts[2])
    if pid == os.getpid():
        return path.name not in _writing
    return not _is_alive(pid)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
