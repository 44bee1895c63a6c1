"""Curves of all metrics with their floors, and a strip of all generations."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw, ImageFont

from imglab.report.survival import part_of
from imglab.report.table import metric_label
from imglab.safe_text import one_line
from imglab.store.layout import spread_generations
from imglab.store.reading import is_number, metric_names

COLUMNS = 4
GREY = "#bbbbbb"
PALETTE = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#777777")
"""Paul Tol's bright scheme: told apart by colour-blind readers."""
NO_TABLE = {
    "origins",
    "floor",
    "reasons",
    "training",
    "accepted",
    "class_survival",
    "class_survival_by_chance",
}
NO_TABLE |= {"tenth_survival", "word_survival_by_chance"}  # report/tails.py has them
TABLE_TITLES = {
    "class_counts": "samples of each class",
    "word_survival": "words left, by count in real text",
}
WIDE = 30.0
"""Values from 1 up that span more than such a factor are shown on a log scale; shares and rates never."""
STRIP_MOST = 12
LABEL_HEIGHT, STRIP_GAP = 24, 8


def curves_figure(
    runs: Mapping[str, Sequence[Mapping[str, Any]]],
    names: Sequence[str] | None = None,
    theory: Mapping[str, Sequence[float | None]] | None = None,
) -> Figure:
    """Return a figure with one panel a metric: the runs' values with standard errors over the floor's mean +- 2 sd.

    runs    label -> metrics of its generations, as `read_metrics` returns them
    names   metrics to show; default: all that the first run has
    theory  what a closed form expects of a metric in generations 0, 1, ..., dotted
    """
    first = next(iter(runs.values()))
    shown = list(names or metric_names(first))
    tables = _tables(first) if len(runs) == 1 and names is None else []
    panels = len(shown) + len(tables)
    height = math.ceil(panels / COLUMNS)
    figure = Figure(figsize=(3.1 * min(COLUMNS, panels), 2.4 * height), layout="constrained")
    axes = [figure.add_subplot(height, min(COLUMNS, panels), at + 1) for at in range(panels)]
    for panel, name in zip(axes, shown, strict=False):
        _draw_metric(panel, name, runs)
        _draw_theory(panel, (theory or {}).get(name, ()))
    for panel, name in zip(axes[len(shown) :], tables, strict=True):
        _draw_table(panel, name, first)
    if len(runs) > 1:
        axes[0].legend(fontsize=7, frameon=False)
    return figure


def strip_png(pictures: Mapping[int, Path]) -> bytes:
    """Return a PNG of generations' pictures side by side, at most twelve of them, spread evenly on a log scale."""
    chosen = spread_generations(sorted(pictures), STRIP_MOST)
    opened = []
    for g in chosen:
        with Image.open(pictures[g]) as file:
            opened.append(file.convert("RGB"))
    columns = math.ceil(math.sqrt(len(opened)))
    rows = math.ceil(len(opened) / columns)
    width, height = opened[0].width + STRIP_GAP, opened[0].height + STRIP_GAP + LABEL_HEIGHT
    strip = Image.new("RGB", (columns * width - STRIP_GAP, rows * height - STRIP_GAP), "white")
    pen, font = ImageDraw.Draw(strip), ImageFont.load_default(16)
    for at, (g, picture) in enumerate(zip(chosen, opened, strict=True)):
        left, top = at % columns * width, at // columns * height
        pen.text((left + 4, top + 2), f"generation {g}", fill="black", font=font)
        strip.paste(picture, (left, top + LABEL_HEIGHT))
    buffer = io.BytesIO()
    strip.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _draw_metric(panel: Axes, name: str, runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    rows = next(iter(runs.values()))
    floor = rows[0]["floor"].get(name)
    if floor:
        spread = 2 * (floor["sd"] or 0)
        panel.axhspan(
            floor["mean"] - spread, floor["mean"] + spread, color=GREY, alpha=0.5, linewidth=0
        )
        panel.axhline(floor["mean"], color="#888888", linewidth=0.8, linestyle="--")
    for colour, (label, found) in zip(PALETTE * len(runs), runs.items(), strict=False):
        usable = [row for row in found if is_number(row.get(name))]
        errors = [row[f"{name}_se"] if is_number(row.get(f"{name}_se")) else 0 for row in usable]
        generations = [row["generation"] for row in usable]
        values = [row[name] for row in usable]
        panel.errorbar(
            generations,
            values,
            yerr=errors,
            color=colour,
            marker="o",
            markersize=3,
            linewidth=1.2,
            label=label,
        )
    known = [row[name] for found in runs.values() for row in found if is_number(row.get(name))]
    if known and min(known) >= 1 and max(known) > WIDE * min(known):
        panel.set_yscale("log")
    finish_panel(panel, metric_label(name, rows[0]), [row["generation"] for row in rows])


def _draw_theory(panel: Axes, expected: Sequence[float | None]) -> None:
    known = [(g, value) for g, value in enumerate(expected) if value is not None]
    if known:
        panel.plot(
            *zip(*known, strict=True), color="black", linewidth=1, linestyle=":", label="theory"
        )
        panel.legend(fontsize=7, frameon=False)


def _tables(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the metrics that hold a number for each of several things: classes, bands of words."""
    return [
        name
        for name, value in rows[0].items()
        if isinstance(value, dict) and value and name not in NO_TABLE
    ]


def _draw_table(panel: Axes, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    generations = [row["generation"] for row in rows]
    for at, part in enumerate(rows[0][name]):
        found = [(row["generation"], part_of(row, name, part)) for row in rows]
        usable = [(g, value) for g, value in found if value is not None]
        panel.plot(
            *zip(*usable, strict=True), color=PALETTE[at % len(PALETTE)], linewidth=1
        ) if usable else None
        if usable and at < 20:
            panel.annotate(
                f" {one_line(part)}", usable[-1], fontsize=6, va="center", parse_math=False
            )
    finish_panel(panel, TABLE_TITLES.get(name, metric_label(name, rows[0])), generations)


def finish_panel(panel: Axes, title: str, generations: Sequence[int]) -> None:
    """Give a panel whose x axis counts generations its title and plain looks."""
    panel.set_title(title, fontsize=9, parse_math=False)
    panel.tick_params(labelsize=7)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.set_xlabel("generation", fontsize=7)
    if len(generations) == 1:
        panel.set_xlim(generations[0] - 1, generations[0] + 1)
    panel.spines[["top", "right"]].set_visible(False)


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG: the same figure, the same bytes."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()


def svg(figure: Figure) -> bytes:
    """Return a figure as an SVG: the same figure, the same bytes."""
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "imglab"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
