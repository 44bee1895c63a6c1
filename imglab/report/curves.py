"""The figure of a run's metrics, each one a curve over generations beside its floor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imglab.report.explanations import within
from imglab.report.figures import COLUMNS, GREY, PALETTE, finish_panel, label_lines
from imglab.report.survival import defined_parts
from imglab.report.table import metric_label
from imglab.report.values import Rows, defined_rows, standard_error
from imglab.solvable.plots import own_style
from imglab.store.metric_order import DETAILS
from imglab.store.reading import metric_names

NO_TABLE = {
    "origins",
    "floor",
    "reasons",
    "training",
    "accepted",
    "class_survival",
    "class_survival_by_chance",
    "tenth_survival",
    "generation0",
    "class_counts_corrected",
    "class_counts_low",
    "class_counts_high",
    "class_accuracy",
    "group_counts_low",
    "group_counts_high",
    "recall_by_group_of_real",
    "word_survival_by_chance",
}
"""Tables in a row that are no panel here; the survival tables have a figure in report/tails.py."""
TABLE_TITLES = {
    "class_counts": "samples of each class",
    "group_counts": "samples of each group",
    "recall_by_group": "recall of each group",
    "word_survival": "words left, by count in real text",
}
WIDE = 30.0
"""Values from 1 up that span more than this factor get a log scale; shares and rates never do."""
PANEL_HEIGHT = 120.0
"""Points of a panel's height, about."""
MOST_LABELS = 20
"""Lines of a table that are labelled."""


@own_style()
def curves_figure(
    runs: Mapping[str, Rows],
    names: Sequence[str] | None = None,
    theory: Mapping[str, Sequence[float | None]] | None = None,
) -> Figure:
    """Return a figure with one panel for each metric.

    It shows the runs' values with standard errors over the floor's mean and two standard
    deviations around it. For a single run with all its metrics, panels of its tables follow.

    runs    label -> metrics of its generations, as `read_metrics` returns them
    names   metrics to show; None: all that the first run has, but for `DETAILS`
    theory  what a closed form expects of a metric in generations 0, 1, ..., drawn as a dotted line
    """
    first = next(iter(runs.values()))
    metrics = list(names or [name for name in metric_names(first) if name not in DETAILS])
    tables = []
    if len(runs) == 1 and names is None:
        tables = _tables(first[0])

    count = len(metrics) + len(tables)
    height = math.ceil(count / COLUMNS)
    width = min(COLUMNS, count)
    figure = Figure(figsize=(3.1 * width, 2.4 * height), layout="constrained")
    panels = [figure.add_subplot(height, width, at + 1) for at in range(count)]

    for panel, name in zip(panels, metrics, strict=False):
        _draw_metric(panel, name, runs, (theory or {}).get(name, ()))
    for panel, name in zip(panels[len(metrics) :], tables, strict=True):
        _draw_table(panel, name, first)
    if len(runs) > 1:
        panels[0].legend(fontsize=7, frameon=False)
    return figure


def _tables(row: Mapping[str, Any]) -> list[str]:
    """Return the metrics that hold a number for each of several things, such as classes."""
    return [
        name
        for name, value in row.items()
        if isinstance(value, dict) and value and name not in NO_TABLE
    ]


def _draw_metric(
    panel: Axes, name: str, runs: Mapping[str, Rows], theory: Sequence[float | None]
) -> None:
    first = next(iter(runs.values()))
    _draw_floor(panel, name, first[0]["floor"].get(name))

    defined = {label: defined_rows(rows, name) for label, rows in runs.items()}
    for colour, (label, rows) in zip(PALETTE * len(runs), defined.items(), strict=False):
        panel.errorbar(
            [row["generation"] for row in rows],
            [row[name] for row in rows],
            yerr=_errors(rows, name),
            color=colour,
            marker="o",
            markersize=3,
            linewidth=1.2,
            label=label,
        )

    values = [row[name] for rows in defined.values() for row in rows]
    if values and min(values) >= 1 and max(values) > WIDE * min(values):
        panel.set_yscale("log")
    _draw_theory(panel, theory)
    finish_panel(panel, metric_label(name, first[0]), [row["generation"] for row in first])


def _errors(rows: Sequence[Mapping[str, Any]], name: str) -> list[list[float]]:
    """Return how far error bars reach below and above, within the metric's range, [2, N]."""
    below: list[float] = []
    above: list[float] = []
    for row in rows:
        low, high = within(name, row[name], standard_error(row, name))
        below.append(row[name] - low)
        above.append(high - row[name])
    return [below, above]


def _draw_floor(panel: Axes, name: str, floor: Mapping[str, Any] | None) -> None:
    if not floor:
        return
    mean = floor["mean"]
    low, high = within(name, mean, 2 * (floor["sd"] or 0))
    panel.axhspan(low, high, color=GREY, alpha=0.5, linewidth=0)
    panel.axhline(mean, color="#888888", linewidth=0.8, linestyle="--")


def _draw_theory(panel: Axes, expected: Sequence[float | None]) -> None:
    defined = [(g, value) for g, value in enumerate(expected) if value is not None]
    if not defined:
        return
    generations, values = zip(*defined, strict=True)
    panel.plot(generations, values, color="black", linewidth=1, linestyle=":", label="theory")
    panel.legend(fontsize=7, frameon=False)


def _draw_table(panel: Axes, name: str, rows: Rows) -> None:
    ends = []
    for at, part in enumerate(rows[0][name]):
        defined = defined_parts(rows, name, part)
        if not defined:
            continue
        generations, values = zip(*defined, strict=True)
        panel.plot(generations, values, color=PALETTE[at % len(PALETTE)], linewidth=1)
        if at < MOST_LABELS:
            ends.append((part, at, defined[-1]))
    label_lines(panel, ends, height=PANEL_HEIGHT)

    title = TABLE_TITLES.get(name, metric_label(name, rows[0]))
    finish_panel(panel, title, [row["generation"] for row in rows])
