"""The command that runs the arms and seeds of a sweep."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imglab.cli.endings import exit_after, failures
from imglab.cli.errors import stoppable
from imglab.cli.options import Changes, ConfigPath, Out, RayAddress, Workers
from imglab.cli.run import announce_imports
from imglab.cli.tally import Tally
from imglab.errors import InputError, Problem
from imglab.running.interrupt import interrupted_by_signals
from imglab.safe_text import printable

if TYPE_CHECKING:
    from imglab.running.cost import RunCost
    from imglab.studies.sweeps.config import SweepConfig
    from imglab.studies.sweeps.run import Sweep
    from imglab.studies.sweeps.tasks import Task


def sweep(
    config: ConfigPath,
    out: Out = None,
    changes: Changes = None,
    workers: Workers = 1,
    ray: RayAddress = None,
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="I/N", help="Only this of N tasks, for job arrays."),
    ] = None,
    status: Annotated[
        bool, typer.Option("--status", help="Only say how far the runs are.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --status: print it as one JSON object.")
    ] = False,
) -> None:
    """Run arms x seeds and a real-only control, and say what the seeds can tell apart.

    Each is a run in its own directory, DIR/<arm>/seed-<s>; the same command goes on where it
    stopped, and runs what was added to the config. The last of N tasks, or the command without
    --only, says what came out.

    Example: imglab sweep configs/sweep_digits.yaml --workers 2
    """
    from imglab.running.resume import RUNS
    from imglab.studies.sweeps.config import load_sweep
    from imglab.studies.sweeps.tasks import Task

    if as_json and not status:
        raise InputError(Problem("--json", "is for --status", "see summary.json of the sweep"))
    checked = load_sweep(config, changes or [])
    if status:
        _show_status(checked, out or RUNS / checked.name, as_json)
        return
    task = None
    if only is not None:
        task = Task.parse(only)

    _run_sweep(checked, config, out, workers, ray, task)


def _show_status(checked: SweepConfig, folder: Path, as_json: bool) -> None:
    """Print how far the runs of a sweep are."""
    from imglab.studies.sweeps.tasks import status, status_json, status_lines

    states = status(checked, folder)
    if as_json:
        typer.echo(json.dumps(status_json(folder, states), indent=1))
        return
    for line in status_lines(states):
        typer.echo(printable(line))


def _run_sweep(
    checked: SweepConfig,
    config: Path,
    out: Path | None,
    workers: int,
    ray: str | None,
    task: Task | None,
) -> None:
    """Run a sweep, or the runs of a task of it, and say what came out of the finished ones."""
    # Only now torch is imported: a wrong key has been reported by now.
    from imglab.cli.heartbeat import signs_of_life
    from imglab.running.cost import verdict_on
    from imglab.studies.sweeps.run import Sweep
    from imglab.studies.sweeps.tasks import unfinished

    announce_imports({f"arms.{name}.": arm for name, arm in checked.arms.items()})
    with signs_of_life("opening the data"):
        whole = Sweep(checked, out, where=str(config), workers=workers)
    tally = Tally(_announced(whole, task))
    cost = None
    with stoppable(whole.folder), interrupted_by_signals():
        if ray is None:
            cost = _expected(whole, str(config), workers, task)
        began = time.perf_counter()
        outcomes = whole.run(tally, ray, tally.ended, task)

    failed = failures(outcomes)
    left = unfinished(checked, whole.folder)
    if task is not None and left:
        others = set(left) - set(task.names(checked))
        typer.echo(f"{len(others)} runs of other tasks are not finished; the last one summarises")
    elif len(failed) < len(outcomes) or not outcomes:
        _summarize(whole.folder)

    if cost is not None and not failed:
        typer.echo(verdict_on(cost, time.perf_counter() - began))
    exit_after(failed)


def _announced(whole: Sweep, task: Task | None) -> int:
    """Say what the runs of a sweep, or of a task of it, are; return how many they are."""
    arms = whole.config.arms
    seeds = whole.config.seeds
    typer.echo(f"{whole.config.name}: {len(arms)} arms x {len(seeds)} seeds -> {whole.folder}")
    if task is None:
        return len(arms) * len(seeds)
    runs = len(task.names(whole.config))
    typer.echo(f"task {task.number} of {task.count}: {runs} runs")
    return runs


def _expected(whole: Sweep, where: str, workers: int, task: Task | None) -> RunCost | None:
    """Say what the runs of a sweep that are left will cost; None where that is quickly done."""
    from imglab.cli.cost import announced_cost
    from imglab.studies.chains import threads_per_worker
    from imglab.studies.sweeps.estimate import expected_cost

    only = None
    if task is not None:
        only = task.names(whole.config)
    at_once = {"workers": workers, "threads": threads_per_worker(workers)}
    estimate = partial(expected_cost, whole.config, whole.folder, where, **at_once, only=only)
    return announced_cost(estimate, whole.folder)


def _summarize(folder: Path) -> None:
    """Write what the finished runs of a sweep answer, and print it."""
    from imglab.report.ranking import format_ranking
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
    if "ranking" in summary:
        typer.echo(format_ranking(summary["ranking"]))
    for path in (folder / "summary.json", *write_results(folder)):
        typer.echo(path)
