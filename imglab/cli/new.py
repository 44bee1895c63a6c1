"""The command that writes a config for a person's data and a budget of time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imglab.cli.imports import importing
from imglab.errors import InputError, Problem
from imglab.safe_text import one_line, printable

if TYPE_CHECKING:
    from imglab.running.cost import RunCost
    from imglab.running.proposal.choice import Candidate
    from imglab.running.proposal.forms import Form
    from imglab.running.stage_costs import Measured

HUB = "hub:"
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


Data = Annotated[
    str | None,
    typer.Argument(
        metavar="[DATA]",
        help="A folder or file of images or texts, or a corpus of the hub: hub:OWNER/NAME.",
    ),
]


Plugin = Annotated[
    str | None,
    typer.Option(
        "--plugin",
        metavar="NAME",
        help="Write a package with a kind of data, a model and a regime of your own instead.",
    ),
]


def new(
    data: Data = None,
    budget: Annotated[
        str, typer.Option("--budget", metavar="TIME", help="What all of it may take, e.g. 2h.")
    ] = "30m",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.yaml", help="Default: named after the data."),
    ] = None,
    plugin: Plugin = None,
) -> None:
    """Write a config that fits your data and your time, after a look at both.

    Says what was found, and what each stage will take of time, memory and disk. Nothing is
    overwritten.

    Example: imglab new photos --budget 30m
    """
    if plugin is not None:
        _write_plugin(plugin, data, out)
        return
    if data is None:
        remedy = "name a folder of images or texts, or --plugin NAME"
        raise InputError(Problem("DATA", "is missing", remedy))

    from imglab.running.proposal.written import check_free, name_of

    name = name_of(data.removeprefix(HUB))
    file = out or Path(f"{name}.yaml")
    check_free(file)

    with importing():
        from imglab.running.budget import seconds_of

        limit = seconds_of(budget)
    modality = _looked_at(data)
    _propose(modality, data, name, file, limit, budget)


def _write_plugin(name: str, data: str | None, out: Path | None) -> None:
    """Write a package of one's own, and say what to do with it."""
    if data is not None:
        what = f"a package does not read {data!r}"
        raise InputError(Problem("--plugin", what, "give DATA or --plugin, not both"))

    from imglab.running.plugin import write_plugin

    folder = out or Path(f"imglab_{name}")
    for path in write_plugin(name, folder):
        typer.echo(printable(str(path)))
    place = printable(str(folder))
    typer.echo(f"\nnow: cd {place} && pip install -e '.[test]' && pytest")


def _looked_at(data: str) -> Mapping[str, Any]:
    """Say what the data are; return the section that reads them."""
    if not data.startswith(HUB) and not Path(data).expanduser().exists():
        remedy = "look at its name"
        if HUB_NAME.fullmatch(data):
            remedy += f"; a corpus of the hub is {HUB}{data}"
        raise InputError(Problem(data, "there is no such file or folder", remedy))
    if data.startswith(HUB):
        source = {"kind": "hub", "name": data.removeprefix(HUB)}
        return {"kind": "text", "source": source}

    from imglab.cli.inspect import inspection_of

    inspection = inspection_of(Path(data), data)
    for line in inspection.lines():
        typer.echo(printable(line))
    modality: Mapping[str, Any] = inspection.config["modality"]
    return modality


def _propose(
    modality: Mapping[str, Any], data: str, name: str, file: Path, limit: float, budget: str
) -> None:
    """Choose what fits, write it, and say what it will cost."""
    from imglab.cli.heartbeat import signs_of_life
    from imglab.config.load import validate_config
    from imglab.running.build import build
    from imglab.running.cost import of_experiment
    from imglab.running.cost_probe import QUICK, probe
    from imglab.running.proposal.choice import GENERATIONS, REGIMES, Choice
    from imglab.running.proposal.data import forms_for
    from imglab.running.proposal.written import config_text, write_new

    with signs_of_life("opening the data"):
        forms, wide, opened = forms_for(modality, data)
    if data.startswith(HUB):  # files have been inspected
        typer.echo(printable(opened.data_line))
    measured: dict[int, Measured] = {}

    def probed(form: Form) -> RunCost:
        typer.echo(f"probing a chain of {form.described} ...")
        chain = {**form.tree, "generations": GENERATIONS, "regime": REGIMES[0], "name": name}
        with signs_of_life("probing"):
            experiment = build(validate_config(chain, data), data)
            measured[id(form)] = probe(experiment, QUICK)
        return of_experiment(measured[id(form)], experiment)

    candidate, cost = Choice(forms, wide, probed).best(limit)
    heading = _heading(candidate, cost, data, file, opened.data_line, budget)
    write_new(file, config_text(candidate.tree(), heading))
    _remember(file, candidate, measured[id(candidate.form)], len(opened.real("train")))
    _show(candidate, cost, file, budget)


def _heading(
    candidate: Candidate, cost: RunCost, data: str, file: Path, line: str, budget: str
) -> list[tuple[str, str]]:
    from imglab.cli.cost import summary
    from imglab.running.cost import time_text

    whole = f"{time_text(candidate.seconds(cost))} here"
    if candidate.chains > 1:
        whole += f", for each of {candidate.chains} chains {summary(candidate.cost(cost))}"
    else:
        whole = f"here {summary(candidate.cost(cost))}"
    notes = [*filter(None, [candidate.form.trial, candidate.shortfall(cost, budget)])]
    expect = "; ".join(notes or ["look at the gate of generation 0 first"])
    expect += ". A chain of a poor model says little"
    return [
        ("Question", f"What becomes of {one_line(data)} when models learn from their own samples?"),
        ("Data", line),
        ("Command", f"imglab run {file}"),
        ("Cost", whole),
        ("Chosen", f"for a budget of {budget}: {candidate.described}"),
        ("Expect", expect),
    ]


def _remember(file: Path, candidate: Candidate, measured: Measured, real: int) -> None:
    """Let a run of the config begin with what the probe has shown."""
    from imglab.config.load import load_config
    from imglab.config.schema import by_prefix
    from imglab.running.earlier_runs import remember_measured

    for config in by_prefix(load_config(file)).values():
        remember_measured(config, measured.with_training(candidate.training), real)


def _show(candidate: Candidate, cost: RunCost, file: Path, budget: str) -> None:
    """Say what was chosen, and what it will cost."""
    from imglab.cli.cost import summary, table, warn
    from imglab.running.cost import shortages, time_text

    chain = candidate.cost(cost)
    typer.echo(f"chosen: {candidate.described}")
    typer.echo(f"a chain: {summary(chain)}")
    for line in table(chain):
        typer.echo(line)
    if candidate.chains > 1:
        typer.echo(f"all chains, one after the other: {time_text(candidate.seconds(cost))}")
    if candidate.form.trial:
        typer.echo(f"expect: {candidate.form.trial}")
    shortfall = candidate.shortfall(cost, budget)
    warn([*shortages(chain, file.parent), *filter(None, [shortfall])])
    typer.echo(printable(f"{file}\n\nnow: imglab run {file}"))
