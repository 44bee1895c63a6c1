"""The figure of the tails: what is left of each class, or band of words, beside what chance alone would leave."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imglab.report.figures import PALETTE, finish_panel
from imglab.report.survival import (
    CHANCE,
    MOST_LINES,
    SURVIVALS,
    Rows,
    extinction_times,
    part_of,
    survival_tables,
)
from imglab.safe_text import one_line


def tails_figure(rows: Rows) -> Figure:
    """Return a figure with a panel for each survival table of a run, and its chances beside it."""
    names = survival_tables(rows)
    figure = Figure(figsize=(7.2, 3.1 * len(names)), layout="constrained")
    for at, name in enumerate(names):
        left = figure.add_subplot(len(names), 2, 2 * at + 1)
        _draw(left, rows, name)
        extinct = [
            f"{one_line(part)} from {g}"
            for part, g in extinction_times(rows, name).items()
            if g is not None
        ]
        title = SURVIVALS[name] + (f"\nnothing left of {', '.join(extinct[:6])}" if extinct else "")
        finish_panel(left, title, [row["generation"] for row in rows])
        if survival_tables(rows, [name + CHANCE]):
            right = figure.add_subplot(len(names), 2, 2 * at + 2)
            _draw(right, rows, name + CHANCE)
            finish_panel(
                right, "chance of any, if chance alone chose", [row["generation"] for row in rows]
            )
    return figure


def _draw(panel: Axes, rows: Rows, name: str) -> None:
    for at, part in enumerate(list(rows[0][name])[:MOST_LINES]):
        found = [(row["generation"], part_of(row, name, part)) for row in rows]
        usable = [(g, value) for g, value in found if value is not None]
        if usable:
            panel.plot(*zip(*usable, strict=True), color=PALETTE[at % len(PALETTE)], linewidth=1.1)
            panel.annotate(
                f" {one_line(part)}", usable[-1], fontsize=6, va="center", parse_math=False
            )
    panel.set_ylim(bottom=0)
