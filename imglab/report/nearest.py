"""Read which real training samples lie nearest to those that a generation shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from imglab.store.files import read_json

COLUMNS = "exhibit.safetensors"
WORDS = "exhibit.json"

Words = dict[str, str]
"""What can be read of one sample: its `text` and `prompt`, or its `label`."""


@dataclass(frozen=True)
class Nearest:
    """The real samples nearest to the N shown ones, as a run writes them; empty for what it lacks.

    index       rows of the K nearest real training samples, nearest first, int [N, K]
    distance    how far they are, in feature units, float [N, K]
    words       what can be read of the shown samples
    real        the real samples by row, if they are images: uint8 [C, H, W]
    real_words  what can be read of the real samples, by row
    """

    index: np.ndarray | None = None
    distance: np.ndarray | None = None
    words: list[Words] | None = None
    real: dict[int, np.ndarray] = field(default_factory=dict)
    real_words: dict[int, Words] = field(default_factory=dict)


def read_nearest(folder: Path, pool: dict[int, np.ndarray]) -> Nearest:
    """Read the nearest real samples of the generation in `folder`.

    `pool` collects the real images of one data set by row, so that each is held in memory once for
    all generations. A ValueError, or what safetensors and JSON raise, says that the files are not
    what a run writes; then nothing of them is used.
    """
    columns = load_file(folder / COLUMNS)
    index = columns["index"]
    distance = columns["distance"]
    rows = columns["rows"]
    real = columns["real"]
    _check_columns(index, distance, rows, real)

    path = folder / WORDS
    written: Mapping[str, Any] = {}
    if path.exists():
        written = read_json(path, ())
    words = _words(written, "shown")
    real_words = _words(written, "real")
    if real_words is not None and len(real_words) != len(rows):
        raise ValueError("exhibit.json tells of other samples")

    images = {}
    if is_images(real):
        images = _pooled(rows.tolist(), real, pool)
    # Without any words of real samples there is nothing to pair with the rows.
    by_row = dict(zip(rows.tolist(), real_words or (), strict=real_words is not None))
    return Nearest(index, distance, words, images, by_row)


def is_images(data: np.ndarray) -> bool:
    """Say whether an array holds images that can be drawn: uint8 [N, C, H, W], none of them 0."""
    return data.dtype == np.uint8 and data.ndim == 4 and 0 not in data.shape


def _check_columns(
    index: np.ndarray, distance: np.ndarray, rows: np.ndarray, real: np.ndarray
) -> None:
    """Raise ValueError where the columns contradict each other; the page would fail on them."""
    neighbours_fit = index.ndim == 2 and index.shape == distance.shape
    rows_fit = rows.ndim == 1 and rows.shape == real.shape[:1]
    if not (neighbours_fit and rows_fit):
        raise ValueError("its columns do not belong together")

    are_rows = index.dtype.kind in "iu" and rows.dtype.kind in "iu"
    if not (are_rows and np.isfinite(distance).all()):
        raise ValueError("its columns are not of their kinds")


def _pooled(
    rows: list[int], images: np.ndarray, pool: dict[int, np.ndarray]
) -> dict[int, np.ndarray]:
    """Return the images by row, those that `pool` has already from there."""
    for row, image in zip(rows, images, strict=True):
        if row not in pool:
            pool[row] = image.copy()  # a view would keep the whole file in memory
    return {row: pool[row] for row in rows}


def _words(written: Mapping[str, Any], key: str) -> list[Words] | None:
    """Return the words under a key of exhibit.json, if any; ValueError where they are not texts."""
    words = written.get(key)
    if not words:
        return None

    if not isinstance(words, list) or not all(isinstance(each, dict) for each in words):
        raise ValueError(f"exhibit.json has no list of texts under {key!r}")
    if not all(isinstance(text, str) for each in words for text in each.values()):
        raise ValueError(f"exhibit.json has other things than texts under {key!r}")
    return words
