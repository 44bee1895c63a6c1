"""The command that tells the errors of a chain apart by interventions."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from imglab.cli.endings import exit_after, failures
from imglab.cli.errors import stoppable
from imglab.cli.options import AsJson, Changes, ConfigPath, Out, Workers
from imglab.cli.run import announce_imports
from imglab.cli.tally import Tally
from imglab.running.interrupt import interrupted_by_signals
from imglab.safe_text import printable

if TYPE_CHECKING:
    from imglab.studies.decomposition.config import Decomposition
    from imglab.studies.decomposition.run import DecompositionRun


def decompose(
    config: ConfigPath,
    out: Out = None,
    changes: Changes = None,
    workers: Workers = 1,
    as_json: AsJson = False,
) -> None:
    """Change samples, capacity and training one against the other; say what each of them does.

    Each cell of the design and each seed is a run in its own directory, DIR/<cell>/seed-<s>; the
    same command goes on where it stopped.

    Example: imglab decompose configs/decompose_gaussian.yaml --workers 2
    """
    from imglab.studies.decomposition.config import load_decomposition

    checked = load_decomposition(config, changes or [])

    # Only now torch is imported: a wrong key has been reported by now.
    from imglab.studies.decomposition.run import DecompositionRun

    announce_imports({f"{cell}.": arm for cell, arm in checked.sweep.arms.items()})
    whole = DecompositionRun(checked, out, where=str(config), workers=workers)
    if not as_json:
        size = f"{len(checked.cells)} cells x {len(checked.sweep.seeds)} seeds"
        typer.echo(f"{checked.sweep.name}: {size} -> {whole.folder}")
    _run(whole, checked, str(config), as_json=as_json)


def _run(whole: DecompositionRun, checked: Decomposition, where: str, *, as_json: bool) -> None:
    """Run the cells, and say what the finished ones answer, and how long it took."""
    from imglab.cli.cost import announced_cost
    from imglab.running.cost import verdict_on

    cost = None
    with stoppable(whole.folder), interrupted_by_signals():
        if not as_json:
            cost = announced_cost(partial(whole.expected_cost, where), whole.folder)
        began = time.perf_counter()
        tally = Tally(silent=as_json)
        outcomes = whole.run(tally, tally.ended)

    failed = failures(outcomes)
    if len(failed) < len(outcomes):
        _summarize(whole.folder, checked, as_json=as_json)
    if cost is not None and not failed:
        typer.echo(verdict_on(cost, time.perf_counter() - began))
    exit_after(failed)


def _summarize(folder: Path, checked: Decomposition, *, as_json: bool) -> None:
    """Write what the finished runs answer, and print it."""
    from imglab.report.decomposition import write_pictures
    from imglab.report.results import write_results
    from imglab.studies.decomposition.results import FILE, sentences, write_decomposition
    from imglab.studies.sweeps.results import write_summary

    answer: dict[str, Any] = write_decomposition(folder, checked)
    pictures = write_pictures(folder, answer)

    # The cells are the arms of a sweep, with its page.
    write_summary(folder)
    pages = write_results(folder)
    if as_json:
        typer.echo(json.dumps(answer, indent=1))
        return

    for line in sentences(answer):
        typer.echo(printable(line))
    for path in (folder / FILE, *pictures, *pages):
        typer.echo(path)
