"""Commands that look at many runs at once."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imglab.cli.options import AsJson
from imglab.safe_text import one_line, printable

if TYPE_CHECKING:
    from imglab.report.overview import Overview

RUNS = Path("runs")
MOST_KEYS = 3
"""Keys of a config that a line of `imglab ls` shows."""

RunsFolder = Annotated[
    Path, typer.Argument(metavar="RUNS", help="A folder of runs, sweeps and claims.")
]


def view(
    runs: RunsFolder = RUNS,
    port: Annotated[
        int,
        typer.Option("--port", metavar="PORT", help="Default: any that is free.", min=0, max=65535),
    ] = 0,
    allow_delete: Annotated[
        bool,
        typer.Option(
            "--allow-delete", help="Let the page delete and prune runs that nobody writes."
        ),
    ] = False,
) -> None:
    """Serve a page over all runs of a folder, to this machine alone, until Ctrl-C.

    Filter, sort and compare them there, and open the page of any of them. It only reads.

    Example: imglab view runs/
    """
    from imglab.report.view import RunsView

    with RunsView(runs, port, deletes=allow_delete) as server:
        typer.echo(f"{server.url} (Ctrl-C ends it)")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:  # the usual way to end it, and nothing is left undone
            typer.echo("")


def list_runs(runs: RunsFolder = RUNS, as_json: AsJson = False) -> None:
    """List the runs of a folder: how each stands, what it ended with, and what differs.

    Example: imglab ls runs/ --json
    """
    from imglab.report.overview import overview
    from imglab.report.table import text_table
    from imglab.report.view import date_text, ending_cell, size_text, value_text

    table = overview(runs)
    if as_json:
        listed = [run.as_json() for run in table.runs]
        typer.echo(json.dumps({"folder": str(runs), "runs": listed}, indent=1))
        return

    columns = table.columns
    lines = [["run", "status", "generations", *columns.values(), "size", "changed", "what differs"]]
    for run in table.runs:
        differs = [f"{key}={value_text(value)}" for key, value in run.differs.items()]
        more = len(differs) - MOST_KEYS
        if more > 0:
            differs = [*differs[:MOST_KEYS], f"and {more} more"]

        cells = [ending_cell(run.metrics.get(name))[0] for name in columns]
        lines.append([run.label, run.status, f"{run.finished} of {run.planned}", *cells])
        lines[-1] += [size_text(run.size), date_text(run.changed), run.note or ", ".join(differs)]
    for line in text_table([[one_line(cell) for cell in line] for line in lines]):
        typer.echo(printable(line))
    _warn(table)


def _warn(table: Overview) -> None:
    """Say what a reader of the whole table must know."""
    if not table.runs:
        typer.echo(f"no runs in {printable(str(table.root))}; `imglab run digits` makes one")
    elif not table.comparable:
        typer.echo("note: measured with different extractors, references or sizes")


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A run directory.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    as_json: AsJson = False,
) -> None:
    """Compare two runs: what differs in their configs, and their metrics side by side.

    Example: imglab compare runs/image_digits runs/accumulate
    """
    from imglab.report.comparison import compare as compare_runs
    from imglab.report.comparison import format_comparison

    comparison = compare_runs(first, second)
    if as_json:
        typer.echo(json.dumps(comparison.as_json(), indent=1))
        return
    typer.echo(printable(format_comparison(comparison)))
