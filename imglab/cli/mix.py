"""The command that asks how much real data a mixture needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imglab.cli.endings import show_result, teller
from imglab.cli.errors import stoppable
from imglab.cli.options import AsJson, Changes, ConfigPath, Out, Workers
from imglab.errors import InputError, Problem
from imglab.running.interrupt import interrupted_by_signals

if TYPE_CHECKING:
    from imglab.studies.mixing.plan import Plan
    from imglab.studies.mixing.request import Request


Synthetic = Annotated[
    str,
    typer.Option(
        "--synthetic",
        metavar="DATA",
        help="The synthetic data: a folder, an archive, text files, RUN@G, or hub:NAME.",
    ),
]
Real = Annotated[
    str | None,
    typer.Option("--real", metavar="DATA", help="The real data. Default: the config's."),
]
Label = Annotated[
    str | None,
    typer.Option(
        "--label", metavar="NAME", help="What to call the synthetic data. Default: its file's name."
    ),
]
CriterionName = Annotated[
    str,
    typer.Option(
        "--criterion",
        metavar="NAME",
        help="When a chain holds: `gate`, `control`, or a definition of collapse.",
    ),
]
Seeds = Annotated[
    int | None, typer.Option("--seeds", metavar="N", min=3, help="Searches. Default: 3.")
]
Halvings = Annotated[
    int | None,
    typer.Option(
        "--halvings",
        metavar="N",
        min=2,
        max=10,
        help="How often each search halves the range of shares. Default: 4.",
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="TIME",
        help="Choose seeds, halvings, generations, sizes and training to fit, e.g. 30m.",
    ),
]


def mix(
    config: ConfigPath,
    synthetic: Synthetic,
    real: Real = None,
    label: Label = None,
    criterion: CriterionName = "gate",
    seeds: Seeds = None,
    halvings: Halvings = None,
    budget: Budget = None,
    out: Out = None,
    changes: Changes = None,
    workers: Workers = 1,
    as_json: AsJson = False,
) -> None:
    """Find the smallest share of real data with which a mixture of real and synthetic data holds.

    Each chain's generation 0 learns from the mixture, and each later one from as many real data and
    what the last generation drew. A search for each seed halves the range of shares, beside a chain
    on real data alone; the same command goes on where it stopped.

    Example: imglab mix digits --synthetic runs/image_digits@3 --budget 2h
    """
    from imglab.running.resume import RUNS
    from imglab.studies.mixing.request import read_request

    if budget is not None and (seeds, halvings) != (None, None):
        what = "chooses the number of seeds and of halvings"
        raise InputError(Problem("--budget", what, "leave out --seeds and --halvings"))

    request = read_request(
        config, synthetic, real=real, label=label, criterion=criterion, changes=changes or []
    )
    folder = out or RUNS / request.name
    plan = _plan(request, folder, seeds, halvings, budget, silent=as_json)
    _search(replace(request, plan=plan, budget=budget), folder, workers, as_json=as_json)


def _plan(
    request: Request,
    folder: Path,
    seeds: int | None,
    halvings: int | None,
    budget: str | None,
    *,
    silent: bool,
) -> Plan:
    """Return the size of the search: as asked, or as the budget allows, which is said.

    A search that goes on keeps its plan: another probe might choose another one.
    """
    from imglab.running.budget import seconds_of
    from imglab.running.cost import time_text
    from imglab.studies.mixing.affordable import affordable
    from imglab.studies.mixing.plan import Plan
    from imglab.studies.mixing.run import read_question

    if budget is None:
        return Plan(seeds or 3, request.plan.generations, halvings or 4)

    limit = seconds_of(budget)
    stored = read_question(folder)
    if stored is not None and stored["budget"] == budget:
        return Plan.read(stored["plan"])
    plan, seconds = affordable(request, limit)
    if not silent:
        typer.echo(f"{budget} allow {plan.described}: about {time_text(seconds)}")
    return plan


def _search(request: Request, folder: Path, workers: int, *, as_json: bool) -> None:
    """Run the search, and write and print what it answers."""
    from imglab.report.mixing import write_mixing
    from imglab.studies.mixing.run import RESULT, Mixing
    from imglab.studies.mixing.sentences import sentences

    search = Mixing(request, folder, workers)
    tell = teller(silent=as_json)
    tell(f"{request.name} -> {search.folder}")
    if search.data_line:
        tell(search.data_line)
    with stoppable(search.folder), interrupted_by_signals():
        result = search.run(tell)
        pictures = write_mixing(search.folder, result)
    paths = (search.folder / RESULT, *pictures)
    show_result(result, sentences(result), paths, as_json=as_json)
