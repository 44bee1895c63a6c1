"""Everything that a finished run gets beside its generations: figures, pictures, table, page."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from imglab.config.load import validate_config
from imglab.config.yaml import read_yaml
from imglab.report.arms import expected
from imglab.report.build import write_report
from imglab.report.curves import curves_figure
from imglab.report.figures import figure_files, figure_names
from imglab.report.fonts import can_be_drawn
from imglab.report.histograms import histograms_figure
from imglab.report.per_sample import read_per_sample
from imglab.report.pictures import strip_and_animation
from imglab.report.ranking import ranking_figure
from imglab.report.side_by_side import relative_figure
from imglab.report.survival import SURVIVALS, survival_tables
from imglab.report.sweep import sweep_figure
from imglab.report.tails import tails_figure
from imglab.report.values import Rows
from imglab.safe_text import one_line
from imglab.store import files, hashes
from imglab.store.files import read_json
from imglab.store.groups import chains_of
from imglab.store.layout import SWEEP
from imglab.store.reading import is_number, metric_names, read_metrics
from imglab.studies.sweeps.results import read_sweep

FIGURES = ("curves", "tails", "histograms", "side_by_side", "sweep", "ranking")
RESULTS = (
    "report.html",
    "report_files",
    *(file for name in FIGURES for file in figure_names(name)),
    "strip.png",
    "grid.webp",
    "grid.gif",
    "grid.mp4",
    "metrics.csv",
    "labels.txt",
)
"""Everything that this module writes."""
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""Signs that begin a formula in a spreadsheet; a quote before one makes it plain text."""


def write_results(run: Path) -> list[Path]:
    """Write what there is to see of a run, a side-by-side run or a sweep into its directory.

    Each gets report.html. A run also gets metrics.csv and, as PNG, SVG and PDF, its curves and, if
    it has what they need, tails and histograms; if its generations drew pictures, strip.png and an
    animation of them as grid.webp, grid.gif and, where ffmpeg is, grid.mp4. A side-by-side run gets
    side_by_side, a sweep gets sweep and, if it is one of remedies, ranking.

    Return the files that a reader should open, the page first.
    """
    with hashes.written(run, *RESULTS, made_again=True):
        paths = _write_parts(run)
        write_report([run], run / "report.html")
    return [run / "report.html", *paths]


def metrics_csv(rows: Rows) -> bytes:
    """Return the scalar metrics of a run as CSV.

    Each metric has a column for its value and one for its standard error. The first line has the
    floors, with their standard deviations as errors; then each generation has a line.
    """
    names = metric_names(rows)
    columns = [column for name in names for column in (name, f"{name}_se")]

    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["generation", *map(_title, columns)])

    floors = [rows[0]["floor"].get(name) or {} for name in names]
    writer.writerow(["floor", *(floor.get(key) for floor in floors for key in ("mean", "sd"))])
    for row in rows:
        writer.writerow([row["generation"], *(_number(row.get(column)) for column in columns)])
    return buffer.getvalue().encode()


def _title(column: str) -> str:
    """Return a column's title, which a spreadsheet must not run as a formula."""
    if column.startswith(FORMULAS):
        column = f"'{column}"
    return one_line(column)


def _number(value: Any) -> Any:
    """Return a value if it is a number; None leaves its cell blank."""
    if is_number(value):
        return value
    return None


def _write_parts(run: Path) -> list[Path]:
    """Write everything but the page; return the files that a reader should open."""
    if (run / SWEEP).is_file():
        paths = _write_figure(run, "sweep", _sweep(run))
        ranking = read_json(run / "summary.json", ("bands",)).get("ranking")
        if ranking is not None and ranking["arms"]:
            paths += _write_figure(run, "ranking", ranking_figure(ranking))
        return paths

    chains = chains_of(run)
    if chains is not None:
        figure = relative_figure({name: read_metrics(run / name) for name in chains})
        return _write_figure(run, "side_by_side", figure)
    return _write_chain(run)


def _write_figure(run: Path, name: str, figure: Figure) -> list[Path]:
    """Write a figure as PNG, SVG and PDF; return the one that a reader should open."""
    for file, content in figure_files(name, figure).items():
        files.write_bytes(run / file, content)
    return [run / f"{name}.png"]


def _write_chain(run: Path) -> list[Path]:
    rows = read_metrics(run)
    paths = []
    # All figures are drawn before one is written: a damaged file leaves the earlier ones alone.
    for name, figure in list(_chain_figures(run, rows)):
        paths += _write_figure(run, name, figure)

    results = strip_and_animation(run, [row["generation"] for row in rows])
    results["metrics.csv"] = metrics_csv(rows)
    labels = _labels(rows)
    if labels:
        results["labels.txt"] = labels.encode()
    for name, content in results.items():
        files.write_bytes(run / name, content)
        paths.append(run / name)
    return paths


def _labels(rows: Rows) -> str:
    """Return the names behind the numbers in figures: those that no installed font can draw."""
    names = {}
    for table in survival_tables(rows, [*SURVIVALS, "class_counts", "group_counts"]):
        for number, name in enumerate(rows[0][table], 1):
            if not can_be_drawn(name):
                names[f"no. {number}  {one_line(name)}\n"] = table
    return "".join(names)


def _chain_figures(run: Path, rows: Rows) -> Iterator[tuple[str, Figure]]:
    """Yield the figures of a run by name, those for which it has the data."""
    config = validate_config(read_yaml(run / "config.yaml"), str(run / "config.yaml"))
    yield "curves", curves_figure({"": rows}, theory=expected(run, config, rows))
    if survival_tables(rows):
        yield "tails", tails_figure(rows)

    per_sample = read_per_sample(run)
    if per_sample:
        yield "histograms", histograms_figure(per_sample)


def _sweep(run: Path) -> Figure:
    first_seeds = [next(iter(seeds.values())) for seeds in read_sweep(run).values()]
    rows = [row for seed_rows in first_seeds for row in seed_rows]

    summary = read_json(run / "summary.json", ("bands",))
    bands = summary["bands"].values()
    names = [name for name in metric_names(rows) if any(name in band for band in bands)]
    return sweep_figure(summary, rows[0], names)
