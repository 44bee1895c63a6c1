"""The figure of several chains: each metric as a multiple of its own generation 0."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from imglab.report.figures import COLUMNS, PALETTE, finish_panel
from imglab.report.table import frechet_label
from imglab.report.values import Rows, defined_rows, standard_error
from imglab.solvable.plots import own_style
from imglab.store.metric_order import DETAILS, FIRST
from imglab.store.reading import is_number

SIGNED = {"kid", "kid_standard"}
"""Metrics that may be zero or negative, so that multiples of them mean nothing."""
TITLE = "multiples of each chain's own generation 0; dashed: its floor, real against real"


@own_style()
def relative_figure(chains: Mapping[str, Rows]) -> Figure:
    """Return a figure with one panel for each metric.

    First come the metrics that all chains share, then those of one kind of data. 1 is the chain's
    own generation 0; the dashed line of its colour is its floor, real data against real data.

    chains  label -> metrics of its generations
    """
    panels = _panels(chains)
    columns = min(COLUMNS, max(1, len(panels)))
    height = math.ceil(max(1, len(panels)) / columns)
    figure = Figure(figsize=(3.2 * columns, 2.5 * height + 0.6), layout="constrained")

    colours = dict(zip(chains, PALETTE * len(chains), strict=False))
    for at, (name, labels) in enumerate(panels.items()):
        panel = figure.add_subplot(height, columns, at + 1)
        for label in labels:
            _draw(panel, name, chains[label], colours[label])
        generations = [row["generation"] for label in labels for row in chains[label]]
        _finish(panel, name, generations)

    handles = [Line2D([], [], color=colours[label], marker="o", markersize=3) for label in chains]
    legend = [f"{label}: {frechet_label(rows[0]['extractor'])}" for label, rows in chains.items()]
    figure.legend(
        handles, legend, loc="outside lower center", ncols=len(chains), fontsize=8, frameon=False
    )
    figure.suptitle(TITLE, fontsize=9)
    return figure


def _panels(chains: Mapping[str, Rows]) -> dict[str, list[str]]:
    """Return for each metric that can be drawn the chains in which it can."""
    headlines = [rows[0].get("headline", ()) for rows in chains.values()]
    common = [name for name in FIRST if name not in DETAILS]
    names = dict.fromkeys([*common, *(name for headline in headlines for name in headline)])
    panels = {
        name: [label for label, rows in chains.items() if _is_relative(rows, name)]
        for name in names
    }
    return {name: labels for name, labels in panels.items() if labels}


def _is_relative(rows: Rows, name: str) -> bool:
    """Say whether a metric has multiples of its generation 0, and more than one value."""
    first: Any = rows[0].get(name)
    if name in SIGNED or not is_number(first) or first <= 0:
        return False
    return len(defined_rows(rows, name)) > 1


def _draw(panel: Axes, name: str, rows: Rows, colour: str) -> None:
    unit = rows[0][name]
    defined = defined_rows(rows, name)
    panel.errorbar(
        [row["generation"] for row in defined],
        [row[name] / unit for row in defined],
        yerr=[standard_error(row, name) / unit for row in defined],
        color=colour,
        marker="o",
        markersize=3,
        linewidth=1.2,
    )

    floor = rows[0]["floor"].get(name)
    if floor and floor["mean"] > 0:
        panel.axhline(floor["mean"] / unit, color=colour, linewidth=0.9, linestyle="--")


def _finish(panel: Axes, name: str, generations: list[int]) -> None:
    # Extractors differ between chains, so the legend names them and not the panel.
    if name == "fid":
        finish_panel(panel, "Fréchet distance", generations)
        panel.set_yscale("log")
    else:
        finish_panel(panel, name.replace("_", " "), generations)
