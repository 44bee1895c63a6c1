"""The figure of a sweep: each metric's mean over seeds with its 95% band, one colour an arm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from imglab.report.explanations import clipped_band
from imglab.report.figures import COLUMNS, GREY, PALETTE, finish_panel
from imglab.report.table import metric_label
from imglab.solvable.plots import own_style

LEGEND_COLUMNS = 5
"""Arms beside each other in the legend."""


@own_style()
def sweep_figure(
    summary: Mapping[str, Any], row: Mapping[str, Any], names: Sequence[str]
) -> Figure:
    """Return a figure of the bands of a sweep, with one panel for each metric.

    summary  the sweep's summary.json: `bands` and `seeds` of each arm
    row      metrics of any generation, which have the floors
    names    the metrics to draw
    """
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

        bands = {arm: of_arm[name] for arm, of_arm in arms.items() if name in of_arm}
        for arm, band in bands.items():
            _draw(panel, name, band, colours[arm])
        longest = max([1, *(len(band["mean"]) for band in bands.values())])
        finish_panel(panel, metric_label(name, row), range(longest))

    seeds = summary["seeds"]
    figure.legend(
        [Line2D([], [], color=colours[arm], marker="o", markersize=3) for arm in arms],
        [f"{arm} ({len(seeds[arm])} seeds)" for arm in arms],
        loc="outside lower center",
        ncols=min(LEGEND_COLUMNS, len(arms)),
        fontsize=8,
        frameon=False,
    )
    return figure


def _draw(panel: Axes, name: str, band: Mapping[str, Sequence[float | None]], colour: str) -> None:
    mean, low, high = (_with_gaps(band[key]) for key in ("mean", "low", "high"))
    ends = [clipped_band(name, *point) for point in zip(mean, low, high, strict=True)]
    low = [end[0] for end in ends]
    high = [end[1] for end in ends]
    generations = range(len(mean))
    panel.plot(generations, mean, color=colour, marker="o", markersize=3, linewidth=1.2)
    panel.fill_between(generations, low, high, color=colour, alpha=0.2, linewidth=0)


def _with_gaps(values: Sequence[float | None]) -> list[float]:
    """Return the values with NaN where one is undefined, at which a line has a gap."""
    return [math.nan if value is None else value for value in values]
