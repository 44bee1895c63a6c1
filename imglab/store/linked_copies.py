"""Parts of models that are the same in several generations of a run, stored once. No torch.

The parts that no fit changes, such as the text encoder and the autoencoder of a pipeline, are hard
links of one file: each generation has them under their names, as regular files that are read,
hashed, copied and removed like any other. Where the file system has no links they stay copies.
"""

from __future__ import annotations

import filecmp
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

SMALLEST = 1 << 16
"""Bytes of a file that is worth a comparison."""


def link_alike(folder: Path, others: Iterable[Path]) -> None:
    """Make each file of a folder a link of one of the same name and content in one of `others`.

    Nobody else may be using `folder`.
    """
    large = large_files(folder)
    if not large:
        return

    for other in others:
        large = [path for path in large if not _link(path, other / path.relative_to(folder))]


def large_files(folder: Path) -> list[Path]:
    """Return the files of a folder that are worth a comparison, in the order of their names."""
    return [path for path in sorted(folder.rglob("*")) if _is_large(path)]


def other_models(model: Path) -> Iterator[Path]:
    """Yield the `model/` folders that a run has of other generations than that of `model`.

    The latest comes first.
    """
    for generation in sorted(model.parent.parent.glob("generation_*"), reverse=True):
        if generation != model.parent and (generation / model.name).is_dir():
            yield generation / model.name


def bytes_of(paths: Iterable[Path]) -> int:
    """Return the bytes that files take; links of one file count once."""
    sizes: dict[tuple[int, int], int] = {}
    for path in paths:
        status = path.stat()
        sizes[status.st_dev, status.st_ino] = status.st_size
    return sum(sizes.values())


def bytes_freed(paths: Iterable[Path]) -> int:
    """Return the bytes that the removal of files frees: those to which no other link leads."""
    links: dict[tuple[int, int], int] = {}
    freed = 0
    for path in paths:
        status = path.stat()
        file = (status.st_dev, status.st_ino)
        links[file] = links.get(file, 0) + 1
        if links[file] == status.st_nlink:
            freed += status.st_size
    return freed


def _is_large(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size >= SMALLEST


def _link(path: Path, other: Path) -> bool:
    """Put a link of `other` in the place of `path`, if both have the same bytes; say if it did."""
    try:
        # A link of one file onto another of its links would stay beside it.
        if _is_large(other) and path.samefile(other):
            return True
        if not _is_large(other) or not filecmp.cmp(path, other, shallow=False):
            return False
        # A name of its own: what stands under `path` is whole at any time.
        beside = path.with_name(f".{path.name}.link")
        os.link(other, beside)
        os.replace(beside, path)
    except OSError:
        # The copy is as good. A disk that fails fails again where the copy is made durable.
        return False
    return True
