"""Histograms of what generations know of each sample, one line a generation: the figure of Shumailov et al. 2024."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from safetensors.numpy import load_file

from imglab.report.figures import png
from imglab.runs import count_finished, generation_folder, spread_generations

BINS = 60
MOST = 8
WIDE = 20.0
"""Positive values that span more than such a factor are shown on a log scale."""


def read_per_sample(run: Path) -> dict[str, dict[int, np.ndarray]]:
    """Return the per-sample values of a run: name -> generation -> float [N]."""
    found: dict[str, dict[int, np.ndarray]] = {}
    for g in spread_generations(range(count_finished(run)), MOST):
        path = generation_folder(run, g) / "per_sample.safetensors"
        for name, values in (load_file(path) if path.exists() else {}).items():
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


def histograms_png(values: Mapping[str, Mapping[int, np.ndarray]]) -> bytes:
    """Return a PNG with one panel for each name, one line for each generation, the last ones on top."""
    figure = Figure(figsize=(6.4, 3.4 * len(values)), layout="constrained")
    for at, (name, generations) in enumerate(values.items()):
        _draw(figure.add_subplot(len(values), 1, at + 1), name, generations)
    return png(figure)


def _draw(panel: Axes, name: str, values: Mapping[int, np.ndarray]) -> None:
    edges, counts = histogram(values)
    last = max(values)
    for g, column in counts.items():
        beyond = len(values[g]) - int(column.sum())
        label = f"generation {g}" + (f" ({beyond} not finite)" if beyond else "")
        colour = colormaps["viridis"](0.92 * (1 - g / last) if last else 0.5)
        share = column / max(1, len(values[g]))
        panel.stairs(share, edges, color=colour, linewidth=1.4, fill=g == 0, alpha=0.35 if g == 0 else 1, label=label)
    if edges[0] > 0 and edges[-1] / edges[0] > WIDE:
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_title(f"{name.replace('_', ' ')} of each sample", fontsize=9, parse_math=False)
    panel.set_ylabel("share of samples", fontsize=7)
    panel.tick_params(labelsize=7)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(fontsize=7, frameon=False)
