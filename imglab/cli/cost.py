"""What a run will cost, as the command line shows it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from imglab.errors import first_line
from imglab.safe_text import printable

if TYPE_CHECKING:
    from imglab.config.schema import RunConfig
    from imglab.running.build import Experiment
    from imglab.running.cost import RunCost
    from imglab.running.run import Run


def show_costs(
    configs: Mapping[str, RunConfig], folder: Path, where: str, *, as_json: bool
) -> None:
    """Print what the chains of a config will cost, by stage, and what the machine lacks for them.

    As text, what was found in the data of each comes before that.

    configs  by the chain's name; a single chain has none
    """
    from imglab.running.cost import shortages

    costs = _estimated(configs, where, silent=as_json)
    missing = {name: list(shortages(cost, folder)) for name, cost in costs.items()}
    if as_json:
        runs = [
            {"run": name or configs[name].name, **cost.as_json(), "missing": missing[name]}
            for name, cost in costs.items()
        ]
        typer.echo(json.dumps({"runs": runs}, indent=1))
        return

    for name, cost in costs.items():
        typer.echo(printable(f"{name or configs[name].name}: {summary(cost)}"))
        for line in table(cost):
            typer.echo(line)
        warn(missing[name])
    if len(costs) > 1:
        from imglab.running.cost import time_text

        total = sum(cost.seconds for cost in costs.values())
        typer.echo(f"all chains, one after the other: {time_text(total)}")


def announced_cost(estimate: Callable[[], RunCost | None], folder: Path) -> RunCost | None:
    """Say what the runs of a study in `folder` will cost; None where that is quickly done.

    estimate  returns it, and may probe for a while
    """
    from imglab.cli.heartbeat import signs_of_life
    from imglab.running.cost import shortages

    try:
        with signs_of_life("probing"):
            cost = estimate()
    # A chain may name code of other packages, which raises anything. It ends that one alone, later.
    except Exception as error:
        typer.echo(printable(f"no estimate: {type(error).__name__}: {first_line(error)}"))
        return None
    if cost is not None:
        typer.echo(f"all of it: {summary(cost)}")
        warn(list(shortages(cost, folder)))
    return cost


def _estimated(configs: Mapping[str, RunConfig], where: str, *, silent: bool) -> dict[str, RunCost]:
    """Return the cost of each chain; unless silent, print what was found in its data."""
    from imglab.cli.heartbeat import SHORT, signs_of_life
    from imglab.running.build import build
    from imglab.running.cost import estimate_of

    costs = {}
    for name, config in configs.items():
        place = f"{where}: chains.{name}" if name else where
        if name and not silent:
            typer.echo(f"chain {name}")
        with signs_of_life("opening the data", each_after=SHORT):
            experiment = build(config, place)
        if not silent:
            for line in data_lines(experiment):
                typer.echo(printable(line))
        with signs_of_life("probing", each_after=SHORT):
            costs[name] = estimate_of(experiment, config)
    return costs


@contextmanager
def expecting(chain: Run, config: RunConfig, where: str) -> Iterator[RunCost | None]:
    """Say, and yield, what a run that begins will cost; at its end, whether it did; remember it.

    config  as the user wrote it, before `auto` had values
    """
    from imglab import distributed
    from imglab.cli.heartbeat import signs_of_life
    from imglab.running.cost import expected, shortages, training_sizes, verdict_on
    from imglab.running.earlier_runs import remember

    begins = not (chain.folder / "config.yaml").exists()
    cost: RunCost | None = None
    if begins and distributed.is_main():
        typer.echo(device_line(config))
        if distributed.launched() == 1:
            with signs_of_life("probing"):
                cost = expected(chain.experiment, config, where)
    if cost is not None:
        typer.echo(summary(cost))
        warn(list(shortages(cost, chain.folder)))

    began = time.perf_counter()
    yield cost
    if distributed.is_main():
        if cost is not None:
            typer.echo(verdict_on(cost, time.perf_counter() - began))
        real = len(chain.experiment.modality.real("train"))
        remember(config, chain.folder, training_sizes(chain.experiment), real=real)


def description(experiment: Experiment) -> Iterator[str]:
    """Yield what was found in the data of an experiment, its sizes, and what earlier runs cost."""
    from imglab.running.cost import remembered

    yield from data_lines(experiment)
    cost = remembered(experiment, experiment.config)
    if cost is not None:
        yield f"cost: {summary(cost)}"


def data_lines(experiment: Experiment) -> Iterator[str]:
    """Yield what was found in the data of an experiment, and its sizes."""
    from imglab.cli.progress import header

    if experiment.modality.data_line:
        yield f"data: {experiment.modality.data_line}"
    spec = experiment.modality.spec
    shape = " x ".join(map(str, spec.shape))
    yield f"{header(experiment)}; a sample is {shape} ({spec.dtype})"


def device_line(config: RunConfig) -> str:
    """Say what a run computes with."""
    from imglab.running.environment import accelerator, resolved_threads

    threads = resolved_threads(config)
    text = f"device: {accelerator() or 'CPU'}, {threads} thread"
    if threads > 1:
        text += "s"
    return text


def summary(cost: RunCost) -> str:
    """Return the cost of a run in a line."""
    from imglab.config.machine import size_text
    from imglab.running.cost import time_text

    sizes = f"{size_text(cost.memory)} of memory, {size_text(cost.disk)} of disk"
    return f"about {time_text(cost.seconds)}, {sizes} (from {cost.source})"


def table(cost: RunCost) -> Iterator[str]:
    """Yield the lines of a table of the stages."""
    from imglab.config.machine import size_text
    from imglab.running.cost import time_text

    yield f"  {'':10}{'in all':>10}{'generation 0':>15}{'later ones':>13}{'disk':>11}"
    for stage in cost.stages:
        first = ""
        later = ""
        if stage.generation:
            first = time_text(stage.generation[0])
        if len(stage.generation) > 1:
            later = time_text(sum(stage.generation[1:]) / (len(stage.generation) - 1))
        total = time_text(stage.seconds)
        yield f"  {stage.name:10}{total:>10}{first:>15}{later:>13}{size_text(stage.disk):>11}"


def warn(missing: Sequence[str]) -> None:
    """Print what a machine lacks for a run."""
    for what in missing:
        typer.echo(printable(f"warning: {what}"), err=True)
