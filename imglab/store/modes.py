"""The modes of files: as the umask gives them, whichever library has written them. No torch."""

from __future__ import annotations

import os
import re
from pathlib import Path

CLOSED = 0o600
"""Mode of a file that only its owner can read."""


def follow_umask(path: Path) -> None:
    """Give a file, or all files below a folder, the mode that the umask gives to new files.

    Some libraries (safetensors) write files that nobody else in a group could read.
    """
    paths = [path]
    if path.is_dir():
        paths = [inner for inner in path.rglob("*") if inner.is_file()]

    mode = 0o666 & ~_umask()
    for inner in paths:
        if inner.stat().st_mode & 0o777 == CLOSED != mode:
            inner.chmod(mode)


def _umask() -> int:
    status = Path("/proc/self/status")
    if status.is_file():
        line = re.search(r"^Umask:\s*([0-7]+)$", status.read_text(errors="replace"), re.MULTILINE)
        if line:
            return int(line[1], 8)

    # Elsewhere it can only be read by setting it.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
