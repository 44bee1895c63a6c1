"""The figure of a sweep: each metric's mean over seeds with its 95% band, one colour an arm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from imglab.report.figures import COLUMNS, GREY, PALETTE, finish_panel
from imglab.report.table import metric_label


def sweep_figure(
    summary: Mapping[str, Any], row: Mapping[str, Any], names: Sequence[str]
) -> Figure:
    """Return a figure of the bands in a sweep's `summary`; `row`, the metrics of any generation, has the floors."""
    arms = summary["bands"]
    height = math.ceil(len(names) / COLUMNS)
    columns = min(COLUMNS, len(names))
    figure = Figure(figsize=(3.2 * columns, 2.5 * height + 0.5), layout="constrained")
    colours = dict(zip(arms, PALETTE * len(arms), strict=False))
    for at, name in enumerate(names):
        panel = figure.add_subplot(height, columns, at + 1)
        floor = row["floor"].get(name)
        if floor:
            panel.axhline(floor["mean"], color=GREY, linewidth=0.9, linestyle="--")
        longest = 1
        for arm, bands in arms.items():
            if name not in bands:
                continue
            mean, low, high = (
                [math.nan if value is None else value for value in bands[name][key]]
                for key in ("mean", "low", "high")
            )
            generations = range(len(mean))
            longest = max(longest, len(mean))
            panel.plot(
                generations, mean, color=colours[arm], marker="o", markersize=3, linewidth=1.2
            )
            panel.fill_between(generations, low, high, color=colours[arm], alpha=0.2, linewidth=0)
        finish_panel(panel, metric_label(name, row), range(longest))
    handles = [Line2D([], [], color=colours[arm], marker="o", markersize=3) for arm in arms]
    seeds = summary["seeds"]
    legend = [f"{arm} ({len(seeds[arm])} seeds)" for arm in arms]
    figure.legend(
        handles,
        legend,
        loc="outside lower center",
        ncols=min(5, len(arms)),
        fontsize=8,
        frameon=False,
    )
    return figure
