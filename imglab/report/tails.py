"""The figure of the tails: what is left of each class, beside what chance alone would leave."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imglab.report.figures import PALETTE, finish_panel, label_lines
from imglab.report.fonts import legible
from imglab.report.survival import (
    CHANCE,
    MOST_LINES,
    SURVIVALS,
    counted_by,
    defined_parts,
    extinction_times,
    survival_tables,
)
from imglab.report.values import Rows
from imglab.solvable.plots import own_style

PANEL_HEIGHT = 165.0
"""Points of a panel's height, about."""
MOST_EXTINCT = 6
"""Extinct parts that a title names."""


@own_style()
def tails_figure(rows: Rows) -> Figure:
    """Return a figure with a panel for each survival table of a run and, beside it, for chance."""
    names = survival_tables(rows)
    generations = [row["generation"] for row in rows]
    figure = Figure(figsize=(7.2, 3.1 * len(names)), layout="constrained")
    for at, name in enumerate(names):
        left = figure.add_subplot(len(names), 2, 2 * at + 1)
        _draw(left, rows, name)
        finish_panel(left, _title(rows, name), generations)

        if survival_tables(rows, [name + CHANCE]):
            right = figure.add_subplot(len(names), 2, 2 * at + 2)
            _draw(right, rows, name + CHANCE)
            finish_panel(right, "chance of any, if chance alone chose", generations)
    return figure


def _title(rows: Rows, name: str) -> str:
    """Say what a table holds, and which of its parts are extinct."""
    times = extinction_times(rows, name)
    extinct = [
        f"{legible(part, at)} from {g}"
        for at, (part, g) in enumerate(times.items(), 1)
        if g is not None
    ]
    if not extinct:
        return SURVIVALS[name]
    lines = [SURVIVALS[name], f"nothing left of {', '.join(extinct[:MOST_EXTINCT])}"]
    return "\n".join(filter(None, [*lines, counted_by(rows, name)]))


def _draw(panel: Axes, rows: Rows, name: str) -> None:
    ends = []
    for at, part in enumerate(list(rows[0][name])[:MOST_LINES]):
        defined = defined_parts(rows, name, part)
        if not defined:
            continue
        generations, values = zip(*defined, strict=True)
        panel.plot(generations, values, color=PALETTE[at % len(PALETTE)], linewidth=1.1)
        ends.append((part, at, defined[-1]))
    panel.set_ylim(bottom=0)
    label_lines(panel, ends, height=PANEL_HEIGHT)
