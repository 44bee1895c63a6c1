"""The figures that a finished run gets: curves, a strip of its pictures, histograms over its samples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imglab import files
from imglab.config import validate_config
from imglab.report.figures import curves_png, strip_png
from imglab.report.histograms import histograms_png, read_per_sample
from imglab.report.side_by_side import relative_png
from imglab.report.sweep import sweep_png
from imglab.report.table import metric_names
from imglab.report.tails import has_tails, tails_png
from imglab.runs import SWEEP, chains_of, generation_folder, read_metrics
from imglab.sweeps.results import read_sweep
from imglab.theory.predict import predict
from imglab.yaml_files import read_yaml

NAMES = ("curves.png", "strip.png", "histograms.png", "tails.png", "side_by_side.png", "sweep.png")


def draw_figures(run: Path) -> None:
    """Write curves.png and, where there is what they need, strip, tails and histograms into a run directory.

    The directory of a side-by-side run gets side_by_side.png, that of a sweep sweep.png, from its summary.json.
    """
    chains = chains_of(run)
    if (run / SWEEP).is_file():
        _sweep_figure(run)
    elif chains is not None:
        found = {name: read_metrics(run / name) for name in chains}
        files.write_bytes(run / "side_by_side.png", relative_png(found))
    else:
        _chain_figures(run)


def _sweep_figure(run: Path) -> None:
    rows = [row for seeds in read_sweep(run).values() for row in next(iter(seeds.values()))]
    summary = json.loads((run / "summary.json").read_text())
    names = [name for name in metric_names(rows) if any(name in arm for arm in summary["bands"].values())]
    files.write_bytes(run / "sweep.png", sweep_png(summary, rows[0], names))


def _chain_figures(run: Path) -> None:
    rows = read_metrics(run)
    files.write_bytes(run / "curves.png", curves_png({"": rows}, theory=_theory(run, rows)))
    pictures = {row["generation"]: _picture(run, row["generation"]) for row in rows}
    shown = {g: picture for g, picture in pictures.items() if picture is not None}
    if shown:
        files.write_bytes(run / "strip.png", strip_png(shown))
    if has_tails(rows):
        files.write_bytes(run / "tails.png", tails_png(rows))
    per_sample = read_per_sample(run)
    if per_sample:
        files.write_bytes(run / "histograms.png", histograms_png(per_sample))


def _theory(run: Path, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[float | None]]:
    """Return what theory expects of this run; its first generation was trained on the whole real set."""
    config = validate_config(read_yaml(run / "config.yaml"), str(run / "config.yaml"))
    return predict(config, rows[0]["n_train"], len(rows))


def _picture(run: Path, g: int) -> Path | None:
    return next(iter(sorted(generation_folder(run, g).glob("*.png"))), None)
