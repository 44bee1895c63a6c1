"""The pictures of a whole run: curves of all metrics with their floors, and a strip of all generations."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw, ImageFont

from imglab import files
from imglab.report.table import metric_label, metric_names
from imglab.runs import generation_folder, read_metrics

COLUMNS = 4
GREY = "#bbbbbb"
PALETTE = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#777777")
"""Paul Tol's bright scheme: told apart by colour-blind readers."""
STRIP_MOST = 12
LABEL_HEIGHT, STRIP_GAP = 24, 8


def draw_figures(run: Path) -> None:
    """Write curves.png and, where generations have a PNG to look at, strip.png into a run directory."""
    rows = read_metrics(run)
    files.write_bytes(run / "curves.png", curves_png({"": rows}))
    pictures = {row["generation"]: _picture(run, row["generation"]) for row in rows}
    shown = {g: picture for g, picture in pictures.items() if picture is not None}
    if shown:
        files.write_bytes(run / "strip.png", strip_png(shown))


def curves_png(runs: Mapping[str, Sequence[Mapping[str, Any]]], names: Sequence[str] | None = None) -> bytes:
    """Return a PNG with one panel a metric: the runs' values with standard errors over the floor's mean +- 2 sd.

    runs   label -> metrics of its generations, as `read_metrics` returns them
    names  metrics to show; default: all that the first run has
    """
    first = next(iter(runs.values()))
    shown = list(names or metric_names(first))
    counts = first[0].get("class_counts") if len(runs) == 1 and names is None else None
    panels = len(shown) + bool(counts)
    height = math.ceil(panels / COLUMNS)
    figure = Figure(figsize=(3.1 * min(COLUMNS, panels), 2.4 * height), layout="constrained")
    axes = [figure.add_subplot(height, min(COLUMNS, panels), at + 1) for at in range(panels)]
    for panel, name in zip(axes, shown, strict=False):
        _draw_metric(panel, name, runs)
    if counts:
        _draw_counts(axes[-1], first)
    if len(runs) > 1:
        axes[0].legend(fontsize=7, frameon=False)
    return _png(figure)


def strip_png(pictures: Mapping[int, Path]) -> bytes:
    """Return a PNG of generations' pictures side by side, at most twelve of them, spread evenly on a log scale."""
    chosen = _spread(sorted(pictures))
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
        panel.axhspan(floor["mean"] - spread, floor["mean"] + spread, color=GREY, alpha=0.5, linewidth=0)
        panel.axhline(floor["mean"], color="#888888", linewidth=0.8, linestyle="--")
    for colour, (label, found) in zip(PALETTE * len(runs), runs.items(), strict=False):
        usable = [row for row in found if row.get(name) is not None]
        errors = [row.get(f"{name}_se") or 0 for row in usable]
        generations = [row["generation"] for row in usable]
        values = [row[name] for row in usable]
        panel.errorbar(
            generations, values, yerr=errors, color=colour, marker="o", markersize=3, linewidth=1.2, label=label
        )
    _finish_panel(panel, metric_label(name, rows[0]), [row["generation"] for row in rows])


def _draw_counts(panel: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    generations = [row["generation"] for row in rows]
    for at, name in enumerate(rows[0]["class_counts"]):
        counts = [(row["class_counts"] or {}).get(name, 0) for row in rows]
        panel.plot(generations, counts, color=PALETTE[at % len(PALETTE)], linewidth=1)
        if at < 20:
            panel.annotate(f" {name}", (generations[-1], counts[-1]), fontsize=6, va="center", parse_math=False)
    _finish_panel(panel, "samples of each class", generations)


def _finish_panel(panel: Axes, title: str, generations: Sequence[int]) -> None:
    panel.set_title(title, fontsize=9, parse_math=False)
    panel.tick_params(labelsize=7)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.set_xlabel("generation", fontsize=7)
    if len(generations) == 1:
        panel.set_xlim(generations[0] - 1, generations[0] + 1)
    panel.spines[["top", "right"]].set_visible(False)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()


def _picture(run: Path, g: int) -> Path | None:
    return next(iter(sorted(generation_folder(run, g).glob("*.png"))), None)


def _spread(generations: Sequence[int]) -> list[int]:
    if len(generations) <= STRIP_MOST:
        return list(generations)
    last = len(generations) - 1
    places = {round((last + 1) ** (at / (STRIP_MOST - 1))) - 1 for at in range(STRIP_MOST)}
    return [generations[place] for place in sorted(places | {0, last})]
