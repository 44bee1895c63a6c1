"""Histograms of what generations know of each sample, one line a generation: the figure of Shumailov et al. 2024."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from imglab.report.per_sample import WIDE, histogram


def histograms_figure(values: Mapping[str, Mapping[int, np.ndarray]]) -> Figure:
    """Return a figure with one panel for each name, one line for each generation, the last ones on top."""
    figure = Figure(figsize=(6.4, 3.4 * len(values)), layout="constrained")
    for at, (name, generations) in enumerate(values.items()):
        _draw(figure.add_subplot(len(values), 1, at + 1), name, generations)
    return figure


def _draw(panel: Axes, name: str, values: Mapping[int, np.ndarray]) -> None:
    edges, counts = histogram(values)
    last = max(values)
    for g, column in counts.items():
        beyond = len(values[g]) - int(column.sum())
        label = f"generation {g}" + (f" ({beyond} not finite)" if beyond else "")
        colour = colormaps["viridis"](0.92 * (1 - g / last) if last else 0.5)
        share = column / max(1, len(values[g]))
        panel.stairs(
            share,
            edges,
            color=colour,
            linewidth=1.4,
            fill=g == 0,
            alpha=0.35 if g == 0 else 1,
            label=label,
        )
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
