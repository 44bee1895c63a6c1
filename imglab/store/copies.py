"""Copies of files that several runs have: each run has bytes of its own. No torch.

Hard links would be smaller, but one wrong bit would then be in every run, and none would be left to
mend the others. Where the file system can, a copy shares its blocks with the original until one of
them is written (btrfs, XFS, bcachefs): it takes no space, and an edit of one leaves the other.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import BinaryIO

AT_ONCE = 1 << 30
"""Bytes that the system is asked to copy at a time."""


def copy_visible(source: Path, target: Path) -> None:
    """Copy a file, or a folder without its hidden files, to the new path `target`."""
    if not source.is_dir():
        copy_file(source, target)
        return

    target.mkdir()
    for inner in sorted(source.iterdir()):
        if not inner.name.startswith("."):
            copy_visible(inner, target / inner.name)


def copy_file(source: Path, target: Path) -> None:
    """Copy the bytes of a file to the new file `target`."""
    with source.open("rb") as reader, target.open("xb") as writer:
        _share_blocks(reader, writer)
        shutil.copyfileobj(reader, writer, 1 << 20)


def _share_blocks(reader: BinaryIO, writer: BinaryIO) -> None:
    """Let the system copy what it can by itself; the positions then stand where it stopped."""
    if not hasattr(os, "copy_file_range"):
        return
    try:
        while os.copy_file_range(reader.fileno(), writer.fileno(), AT_ONCE):
            pass
    except OSError:
        # Across some file systems it cannot. A disk that fails fails again in the ordinary copy.
        return
