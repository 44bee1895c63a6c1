"""The figure of the tails: what is left of each class, or band of words, beside what chance alone would leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imglab.report.figures import PALETTE, finish_panel, png

SURVIVALS = {
    "class_survival": "samples of each class, relative to real data",
    "tenth_survival": "samples of each tenth of the classes, rarest first",
    "word_survival": "words left, by count in real text",
    "survival": "categories left, by real frequency",
}
CHANCE = "_by_chance"
MOST_LINES = 20

Rows = Sequence[Mapping[str, Any]]


def extinction_times(rows: Rows, name: str) -> dict[str, int | None]:
    """Return, for each part of a survival table, the generation from which nothing is left of it; None: some is."""
    found: dict[str, int | None] = {}
    for part in rows[0][name]:
        values = [(row.get(name) or {}).get(part) for row in rows]
        alive = [at for at, value in enumerate(values) if value is None or value > 0]
        first = alive[-1] + 1 if alive else 0
        found[part] = rows[first]["generation"] if first < len(rows) else None
    return found


def has_tails(rows: Rows) -> bool:
    """Say whether a run has a survival table."""
    return bool(_names(rows))


def tails_png(rows: Rows) -> bytes:
    """Return a PNG with a panel for each survival table of a run, and its chances beside it."""
    names = _names(rows)
    figure = Figure(figsize=(7.2, 3.1 * len(names)), layout="constrained")
    for at, name in enumerate(names):
        left = figure.add_subplot(len(names), 2, 2 * at + 1)
        _draw(left, rows, name)
        extinct = [f"{part} from {g}" for part, g in extinction_times(rows, name).items() if g is not None]
        title = SURVIVALS[name] + (f"\nnothing left of {', '.join(extinct[:6])}" if extinct else "")
        finish_panel(left, title, [row["generation"] for row in rows])
        if rows[0].get(name + CHANCE):
            right = figure.add_subplot(len(names), 2, 2 * at + 2)
            _draw(right, rows, name + CHANCE)
            finish_panel(right, "chance of any, if chance alone chose", [row["generation"] for row in rows])
    return png(figure)


def _names(rows: Rows) -> list[str]:
    return [name for name in SURVIVALS if isinstance(rows[0].get(name), dict) and rows[0][name]]


def _draw(panel: Axes, rows: Rows, name: str) -> None:
    for at, part in enumerate(list(rows[0][name])[:MOST_LINES]):
        found = [(row["generation"], (row.get(name) or {}).get(part)) for row in rows]
        usable = [(g, value) for g, value in found if value is not None]
        if usable:
            panel.plot(*zip(*usable, strict=True), color=PALETTE[at % len(PALETTE)], linewidth=1.1)
            panel.annotate(f" {part}", usable[-1], fontsize=6, va="center", parse_math=False)
    panel.set_ylim(bottom=0)
