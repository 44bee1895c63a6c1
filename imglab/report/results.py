"""What a finished run gets beside its generations: figures, an animation, a table, the page that tells its story."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from imglab.config.load import validate_config
from imglab.config.yaml import read_yaml
from imglab.errors import InputError, Problem, first_line
from imglab.report.arms import expected
from imglab.report.build import write_report
from imglab.report.figures import curves_figure, png, strip_png, svg
from imglab.report.histograms import histograms_figure
from imglab.report.nearest import UNREADABLE
from imglab.report.per_sample import read_per_sample
from imglab.report.side_by_side import relative_figure
from imglab.report.survival import survival_tables
from imglab.report.sweep import sweep_figure
from imglab.report.tails import tails_figure
from imglab.safe_text import one_line
from imglab.store import files, hashes
from imglab.store.files import read_json
from imglab.store.groups import chains_of
from imglab.store.layout import SWEEP, generation_folder, spread_generations
from imglab.store.reading import is_number, metric_names, read_metrics
from imglab.studies.sweeps.results import read_sweep

FIGURES = ("curves", "tails", "histograms", "side_by_side", "sweep")
RESULTS = (
    "report.html",
    "report_files",
    *(f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg")),
    "strip.png",
    "grid.webp",
    "metrics.csv",
)
"""All that this module writes."""
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What begins a text that spreadsheets would run; a quote before it makes it text."""
FRAMES = 60
"""Generations of the animation at most."""
FRAME_SECONDS = 0.7


def write_results(run: Path) -> list[Path]:
    """Write what there is to see of a run, a side-by-side run or a sweep into its directory; return it, the page first.

    report.html always; of a chain also metrics.csv and its figures as PNG and SVG: curves and, where there is what they
    need, tails, histograms, strip.png and grid.webp, every generation's picture in turn. A side-by-side run has
    side_by_side, a sweep has sweep.
    """
    with hashes.written(run, *RESULTS, made_again=True):
        return _write_results(run)


def _write_results(run: Path) -> list[Path]:
    chains = chains_of(run)
    if (run / SWEEP).is_file():
        figures = {"sweep": _sweep(run)}
    elif chains is not None:
        figures = {
            "side_by_side": relative_figure({name: read_metrics(run / name) for name in chains})
        }
    else:
        figures = dict(_of_chain(run))
    made = [run / "report.html"]
    for name, figure in figures.items():
        files.write_bytes(run / f"{name}.png", png(figure))
        files.write_bytes(run / f"{name}.svg", svg(figure))
        made.append(run / f"{name}.png")
    if chains is None and not (run / SWEEP).is_file():
        made += _pictures(run)
        files.write_bytes(run / "metrics.csv", metrics_csv(read_metrics(run)))
        made.append(run / "metrics.csv")
    write_report([run], run / "report.html")
    return made


def metrics_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the scalar metrics of a run as CSV: a line for each generation, `floor` and its `sd` before them."""
    names = metric_names(rows)
    columns = [column for name in names for column in (name, f"{name}_se")]
    titles = [
        one_line(f"'{column}" if column.startswith(FORMULAS) else column) for column in columns
    ]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["generation", *titles])
    floors = [rows[0]["floor"].get(name) or {} for name in names]
    writer.writerow(["floor", *(floor.get(key) for floor in floors for key in ("mean", "sd"))])
    for row in rows:
        writer.writerow(
            [
                row["generation"],
                *(row[name] if is_number(row.get(name)) else None for name in columns),
            ]
        )
    return buffer.getvalue().encode()


def _sweep(run: Path) -> Figure:
    rows = [row for seeds in read_sweep(run).values() for row in next(iter(seeds.values()))]
    summary = read_json(run / "summary.json", ("bands",))
    names = [
        name for name in metric_names(rows) if any(name in arm for arm in summary["bands"].values())
    ]
    return sweep_figure(summary, rows[0], names)


def _of_chain(run: Path) -> Iterator[tuple[str, Figure]]:
    rows = read_metrics(run)
    config = validate_config(read_yaml(run / "config.yaml"), str(run / "config.yaml"))
    yield "curves", curves_figure({"": rows}, theory=expected(run, config, rows))
    if survival_tables(rows):
        yield "tails", tails_figure(rows)
    per_sample = read_per_sample(run)
    if per_sample:
        yield "histograms", histograms_figure(per_sample)


def _pictures(run: Path) -> list[Path]:
    found = {row["generation"]: _picture(run, row["generation"]) for row in read_metrics(run)}
    shown = {g: picture for g, picture in found.items() if picture is not None}
    if not shown:
        return []
    try:
        strip = strip_png(shown)
        animation = _animation([shown[g] for g in spread_generations(sorted(shown), FRAMES)])
    except UNREADABLE as error:
        what = f"a picture of a generation cannot be read: {first_line(error)}"
        raise InputError(Problem(str(run), what, "the file is damaged")) from error
    files.write_bytes(run / "strip.png", strip)
    files.write_bytes(run / "grid.webp", animation)
    return [run / "strip.png", run / "grid.webp"]


def _animation(pictures: Sequence[Path]) -> bytes:
    """Return the pictures as a lossless animated WebP that repeats; the last one stays a little longer."""
    frames = []
    for picture in pictures:
        with Image.open(picture) as file:
            frames.append(file.convert("RGB"))
    durations = [int(1000 * FRAME_SECONDS)] * len(frames)
    durations[-1] *= 3
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        format="WEBP",
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=0,
        lossless=True,
    )
    return buffer.getvalue()


def _picture(run: Path, g: int) -> Path | None:
    return next(iter(sorted(generation_folder(run, g).glob("*.png"))), None)
