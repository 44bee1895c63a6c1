"""Values that generations have for each sample, read from their files and counted into bins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from imglab.errors import InputError, Problem
from imglab.store.files import DAMAGED
from imglab.store.layout import count_finished, generation_folder, spread_generations

UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    MemoryError,
    SafetensorError,
)
"""What safetensors raises on a damaged file, or on numbers that numpy does not have."""
BINS = 60
MOST = 8
"""Generations that are read at most, spread evenly on a log scale."""
WIDE = 20.0
"""Positive values that span more than this factor get bins of equal ratio."""


def read_per_sample(run: Path) -> dict[str, dict[int, np.ndarray]]:
    """Return the per-sample values of a run: name -> generation -> float [N].

    InputError says that a file is damaged.
    """
    values: dict[str, dict[int, np.ndarray]] = {}
    for g in spread_generations(range(count_finished(run)), MOST):
        path = generation_folder(run, g) / "per_sample.safetensors"
        for name, column in _columns(path).items():
            values.setdefault(name, {})[g] = column
    return values


def _columns(path: Path) -> dict[str, np.ndarray]:
    """Return the columns of a file, none if the generation did not write it."""
    try:
        if not path.exists():
            return {}

        columns = load_file(path)
        if not all(map(_is_per_sample, columns.values())):
            raise ValueError("it holds other things than a number for each sample")
    except UNREADABLE as error:
        what = f"cannot be read: {error}"
        raise InputError(Problem(str(path), what, DAMAGED)) from error
    return columns


def _is_per_sample(values: np.ndarray) -> bool:
    return values.ndim == 1 and values.dtype.kind in "iuf"


def histogram(values: Mapping[int, np.ndarray]) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Return the edges of bins and each generation's counts of its finite values in them.

    The edges, float [B + 1], are common to all generations; the counts are int [B] by generation.
    """
    finite = {g: column[np.isfinite(column)].astype(float) for g, column in values.items()}
    edges = _edges(np.concatenate(list(finite.values())))
    return edges, {g: np.histogram(column, edges)[0] for g, column in finite.items()}


def _edges(values: np.ndarray) -> np.ndarray:
    """Return the edges of bins from the least to the most of these values, float [B + 1]."""
    least = 0.0
    most = 1.0
    if len(values) > 0:
        least = float(values.min())
        most = float(values.max())
    if most <= least:
        least -= 0.5
        most += 0.5

    if least > 0 and most / least > WIDE:
        edges = np.geomspace(least, most, BINS + 1)
    else:
        edges = np.linspace(least, most, BINS + 1)

    # Rounding must not push the extremes out.
    edges[0] = least
    edges[-1] = most
    return edges
