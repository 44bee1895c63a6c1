"""The command that runs the arms and seeds of a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imglab.cli.errors import stoppable
from imglab.cli.options import Changes, ConfigPath, Out, Workers
from imglab.cli.run import announce_imports
from imglab.run.interrupt import interrupted_by_signals
from imglab.safe_text import printable

GRAVEST = (3, 2, 1)
"""Exit codes of runs that did not finish: the first of these that occurs is the command's."""


def sweep(
    config: ConfigPath,
    out: Out = None,
    changes: Changes = None,
    workers: Workers = 1,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray", metavar="ADDRESS", help="Run on this Ray cluster instead, e.g. auto."
        ),
    ] = None,
) -> None:
    """Run arms x seeds and a real-only control, and say what the seeds can tell apart.

    Each is a run in its own directory, DIR/<arm>/seed-<s>; the same command goes on where it
    stopped.

    Example: imglab sweep configs/sweep_digits.yaml --workers 2
    """
    from imglab.studies.sweeps.config import load_sweep

    checked = load_sweep(config, changes or [])

    # Only now torch is imported: a wrong key has been reported by now.
    from imglab.studies.sweeps.run import Sweep

    announce_imports({f"arms.{name}.": arm for name, arm in checked.arms.items()})
    whole = Sweep(checked, out, where=str(config), workers=workers)
    size = f"{len(checked.arms)} arms x {len(checked.seeds)} seeds"
    typer.echo(f"{checked.name}: {size} -> {whole.folder}")
    with stoppable(whole.folder), interrupted_by_signals():
        outcomes = whole.run(Tally(), ray)

    failed = {name: outcome for name, outcome in outcomes.items() if outcome.code}
    for name, outcome in failed.items():
        typer.echo(f"{name}: {printable(outcome.message)}", err=True)
    if len(failed) < len(outcomes):
        _summarize(whole.folder)
    if failed:
        raise typer.Exit(max((outcome.code for outcome in failed.values()), key=GRAVEST.index))


def _summarize(folder: Path) -> None:
    """Write what the finished runs of a sweep answer, and print it."""
    from imglab.report.results import write_results
    from imglab.report.warning import format_warning
    from imglab.studies.first_generations import describe_poor
    from imglab.studies.sweeps.results import sentence, write_summary

    summary = write_summary(folder)
    for answer in summary["contrasts"]:
        typer.echo(sentence(answer))
    for arm, counts in summary["generation0"].items():
        poor = describe_poor(counts, arm)
        if poor is not None:
            typer.echo(printable(poor))
    typer.echo(format_warning(summary["warning"]))
    for path in (folder / "summary.json", *write_results(folder)):
        typer.echo(path)


class Tally:
    """Prints how many generations are finished, whenever that changes."""

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent
        self._last = -1

    def __call__(self, done: int, total: int) -> None:
        """Say how many of `total` generations are finished."""
        if done != self._last and not self._silent:
            typer.echo(f"{done} of {total} generations finished")
        self._last = done
