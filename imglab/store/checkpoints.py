"""Checkpoints of an unfinished fit: hidden files in a generation's folder, named by their hash."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from imglab.store import files
from imglab.store.stage_files import save_tensors

CHECKPOINT = ".checkpoint-"
"""Begins the name of a checkpoint. The sha256 of its bytes follows, so that damage is noticed."""

NEW = f"{CHECKPOINT}new"
"""Name of a checkpoint whose hash is not known yet."""


def keep_checkpoint(folder: Path, state: Mapping[str, Tensor]) -> None:
    """Write a checkpoint into a generation's folder, then remove the earlier ones."""
    earlier = list(folder.glob(f"{CHECKPOINT}*"))

    new = folder / NEW
    save_tensors(new, state)
    named = folder / f"{CHECKPOINT}{files.sha256_file(new)}"
    os.replace(new, named)
    files.sync_folder(folder)

    for path in earlier:
        if path not in (new, named):
            files.remove(path)


def find_checkpoint(folder: Path, report: Callable[[str], None]) -> str | None:
    """Return the name of the newest intact checkpoint in a generation's folder, if there is one.

    Newer ones that are damaged are removed, and `report` is given their names.
    """
    paths = folder.glob(f"{CHECKPOINT}*")
    for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        if path.name == f"{CHECKPOINT}{files.sha256_file(path)}":
            return path.name

        if path.name != NEW:
            report(path.name)
        files.remove(path)
    return None


def remove_checkpoints(folder: Path) -> None:
    """Remove every checkpoint in a generation's folder."""
    for path in folder.glob(f"{CHECKPOINT}*"):
        files.remove(path)
