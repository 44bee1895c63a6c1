"""Histograms of what is known of single samples, one line for each generation.

They follow the figures of Shumailov et al. 2024.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from imglab.report.per_sample import WIDE, histogram
from imglab.solvable.plots import own_style


@own_style()
def histograms_figure(values: Mapping[str, Mapping[int, np.ndarray]]) -> Figure:
    """Return a figure with a panel for each name and a line for each generation, the last on top.

    values  name -> generation -> a value for each sample, float [N]
    """
    figure = Figure(figsize=(6.4, 3.4 * len(values)), layout="constrained")
    for at, (name, generations) in enumerate(values.items()):
        _draw(figure.add_subplot(len(values), 1, at + 1), name, generations)
    return figure


def _draw(panel: Axes, name: str, values: Mapping[int, np.ndarray]) -> None:
    edges, counts = histogram(values)
    last = max(values)
    for g, column in counts.items():
        # The shares are of all samples: those that are not finite are in no bin, and counted.
        shares = column / max(1, len(values[g]))
        beyond = len(values[g]) - int(column.sum())
        panel.stairs(shares, edges, linewidth=1.4, **_look(g, last, beyond))

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


def _look(g: int, last: int, beyond: int) -> dict[str, Any]:
    """Return colour and label of a generation; generation 0 is filled, as the reference."""
    shade = 0.5
    if last > 0:
        shade = 0.92 * (1 - g / last)
    label = f"generation {g}"
    if beyond > 0:
        label += f" ({beyond} not finite)"

    look = {"color": colormaps["viridis"](shade), "label": label, "fill": False, "alpha": 1.0}
    if g == 0:
        look |= {"fill": True, "alpha": 0.35}
    return look
