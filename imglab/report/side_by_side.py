"""The figure of several chains: each metric as a multiple of its own generation 0, beside its floor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from imglab.report.figures import PALETTE, finish_panel
from imglab.report.table import frechet_label
from imglab.store.reading import FIRST, is_number

SIGNED = {"kid"}
"""Metrics that may be zero or below, of which there are no multiples."""


def relative_figure(chains: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Return a figure with one panel for each metric: those that chains share, then what one kind of data adds.

    1 is the chain's own generation 0; the dashed line of its colour is its floor, real data against real data.
    """
    told = [
        name
        for rows in chains.values()
        for name in rows[0].get("headline", ())
        if name not in FIRST
    ]
    names = [*FIRST, *dict.fromkeys(told)]
    shown = {
        name: found
        for name in names
        if (found := [label for label in chains if _usable(chains[label], name)])
    }
    colours = dict(zip(chains, PALETTE * len(chains), strict=False))
    columns = min(4, max(1, len(shown)))
    height = -(-max(1, len(shown)) // columns)
    figure = Figure(figsize=(3.2 * columns, 2.5 * height + 0.6), layout="constrained")
    for at, (name, labels) in enumerate(shown.items()):
        panel = figure.add_subplot(height, columns, at + 1)
        for label in labels:
            _draw(panel, name, chains[label], colours[label])
        every = [row["generation"] for label in labels for row in chains[label]]
        finish_panel(panel, "Fréchet distance" if name == "fid" else name.replace("_", " "), every)
        if name == "fid":
            panel.set_yscale("log")
    handles = [Line2D([], [], color=colours[label], marker="o", markersize=3) for label in chains]
    legend = [f"{label}: {frechet_label(rows[0]['extractor'])}" for label, rows in chains.items()]
    figure.legend(
        handles, legend, loc="outside lower center", ncols=len(chains), fontsize=8, frameon=False
    )
    figure.suptitle(
        "multiples of each chain's own generation 0; dashed: its floor, real against real",
        fontsize=9,
    )
    return figure


def _usable(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    known = [is_number(row.get(name)) for row in rows]
    return name not in SIGNED and known[0] and rows[0][name] > 0 and sum(known) > 1


def _draw(panel: Axes, name: str, rows: Sequence[Mapping[str, Any]], colour: str) -> None:
    unit = rows[0][name]
    known = [row for row in rows if is_number(row.get(name))]
    errors = [row[f"{name}_se"] / unit if is_number(row.get(f"{name}_se")) else 0 for row in known]
    values = [row[name] / unit for row in known]
    generations = [row["generation"] for row in known]
    panel.errorbar(
        generations, values, yerr=errors, color=colour, marker="o", markersize=3, linewidth=1.2
    )
    floor = rows[0]["floor"].get(name)
    if floor and floor["mean"] > 0:
        panel.axhline(floor["mean"] / unit, color=colour, linewidth=0.9, linestyle="--")
