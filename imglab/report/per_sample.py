"""What generations know of each sample, read from their files and counted into bins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from imglab.errors import InputError, Problem
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
WIDE = 20.0
"""Positive values that span more than such a factor are shown on a log scale."""


def read_per_sample(run: Path) -> dict[str, dict[int, np.ndarray]]:
    """Return the per-sample values of a run: name -> generation -> float [N]; InputError where a file is damaged."""
    found: dict[str, dict[int, np.ndarray]] = {}
    for g in spread_generations(range(count_finished(run)), MOST):
        path = generation_folder(run, g) / "per_sample.safetensors"
        try:
            columns = load_file(path) if path.exists() else {}
            if any(
                values.ndim != 1 or values.dtype.kind not in "iuf" for values in columns.values()
            ):
                raise ValueError("it holds other things than a number for each sample")
        except UNREADABLE as error:
            raise InputError(
                Problem(str(path), f"cannot be read: {error}", "the file is damaged")
            ) from error
        for name, values in columns.items():
            found.setdefault(name, {})[g] = values
    return found


def histogram(values: Mapping[int, np.ndarray]) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Return bin edges common to all generations, float [B + 1], and for each the counts of its finite values."""
    finite = {g: column[np.isfinite(column)].astype(float) for g, column in values.items()}
    every = np.concatenate(list(finite.values()))
    least, most = (float(every.min()), float(every.max())) if len(every) else (0.0, 1.0)
    if most <= least:
        least, most = least - 0.5, least + 0.5
    log = least > 0 and most / least > WIDE
    edges = np.geomspace(least, most, BINS + 1) if log else np.linspace(least, most, BINS + 1)
    edges[0], edges[-1] = least, most  # rounding must not push the extremes out
    return edges, {g: np.histogram(column, edges)[0] for g, column in finite.items()}
