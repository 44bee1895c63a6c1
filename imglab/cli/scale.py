"""The command that follows an error over sizes, for real, synthetic and mixed data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imglab.cli.endings import exit_after, failures
from imglab.cli.errors import stoppable
from imglab.cli.options import AsJson, Changes, ConfigPath, Out, RayAddress, Workers
from imglab.cli.run import announce_imports
from imglab.cli.tally import Tally
from imglab.errors import InputError, Problem
from imglab.running.interrupt import interrupted_by_signals
from imglab.safe_text import printable

if TYPE_CHECKING:
    from imglab.studies.scaling.config import ScalingConfig

OverKey = Annotated[
    str | None,
    typer.Option("--over", metavar="KEY", help="The key that is scaled. Default: the config's."),
]
Sizes = Annotated[
    str | None,
    typer.Option("--sizes", metavar="N,N,...", help="At least five values of it, e.g. 50,100,200."),
]


def scale(
    config: ConfigPath,
    over: OverKey = None,
    sizes: Sizes = None,
    out: Out = None,
    changes: Changes = None,
    workers: Workers = 1,
    ray: RayAddress = None,
    as_json: AsJson = False,
) -> None:
    """Say how an error falls with size on real, synthetic and mixed data, and if it levels off.

    Each kind of data has an exponent with its interval over seeds, and a power law is compared with
    one that ends in a plateau. Each size and seed is a run in its own directory,
    DIR/<kind>-<number>/seed-<s>; the same command goes on where it stopped.

    Example: imglab scale configs/scale_tails.yaml --workers 2
    """
    from imglab.studies.scaling.config import load_scaling

    checked = load_scaling(config, over, _numbers(sizes), changes or [])

    # Only now torch is imported: a wrong key has been reported by now.
    from imglab.studies.sweeps.run import Sweep

    announce_imports({f"{cell}.": arm for cell, arm in checked.sweep.arms.items()})
    whole = Sweep(checked.sweep, out, where=str(config), workers=workers)
    if not as_json:
        size = f"{len(checked.generations)} kinds of data x {len(checked.sizes)} sizes"
        seeds = f"{len(checked.sweep.seeds)} seeds"
        typer.echo(f"{checked.sweep.name}: {size} x {seeds} -> {whole.folder}")
    with stoppable(whole.folder), interrupted_by_signals():
        tally = Tally(silent=as_json)
        outcomes = whole.run(tally, ray, tally.ended)

    failed = failures(outcomes)
    if len(failed) < len(outcomes):
        _summarize(whole.folder, checked, as_json=as_json)
    exit_after(failed)


def _numbers(text: str | None) -> list[int | float]:
    """Return the numbers that an option lists."""
    numbers: list[float] = []
    for part in (text or "").split(","):
        try:
            if part.strip():
                numbers.append(float(part))
        except ValueError as error:
            remedy = "e.g. 50,100,200,400,800"
            raise InputError(Problem("--sizes", f"{part!r} is not a number", remedy)) from error
    return [int(number) if number.is_integer() else number for number in numbers]


def _summarize(folder: Path, checked: ScalingConfig, *, as_json: bool) -> None:
    """Write what the finished runs answer, and print it."""
    from imglab.report.scaling import write_pictures
    from imglab.studies.scaling.results import FILE, sentences, write_scaling

    answer = write_scaling(folder, checked)
    pictures = write_pictures(folder, answer)
    if as_json:
        typer.echo(json.dumps(answer, indent=1))
        return

    for line in sentences(answer):
        typer.echo(printable(line))
    for path in (folder / FILE, *pictures):
        typer.echo(path)
