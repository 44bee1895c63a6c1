"""The command that fits a model to each half of the data, to see what it has memorized."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from imglab.cli.calibrate import watched
from imglab.cli.errors import stoppable
from imglab.cli.options import AsJson, Changes, ConfigPath
from imglab.cli.run import announce_imports
from imglab.errors import InputError, Problem
from imglab.running.interrupt import interrupted_by_signals
from imglab.safe_text import printable

if TYPE_CHECKING:
    from imglab.studies.halves import HalvesResult

Drawn = Annotated[
    int, typer.Option("--samples", metavar="N", min=20, help="Samples that each model draws.")
]


def halves(
    config: ConfigPath, changes: Changes = None, samples: Drawn = 500, as_json: AsJson = False
) -> None:
    """Fit the model to two halves of the real data: does it learn them, or by heart?

    Models that have learnt the distribution make nearly the same of the same noise, and their
    samples lie no nearer to their own half than to the other. Nothing is written.

    Example: imglab halves configs/image_digits.yaml --samples 500
    """
    from imglab.config.load import load_config
    from imglab.config.schema import RunConfig

    checked = load_config(config, changes or [])
    if not isinstance(checked, RunConfig):
        what = "holds several chains, halves are of one model"
        raise InputError(Problem(str(config), what, "give a config with one chain"))

    # Only now torch is imported: a wrong key has been reported by now.
    from imglab.studies.halves import compare_halves

    if not as_json:
        announce_imports({"": checked})
    with stoppable(), interrupted_by_signals():
        result = watched(compare_halves(checked, str(config), samples), silent=as_json)

    if as_json:
        typer.echo(json.dumps(result.as_json(), indent=1))
    else:
        typer.echo(printable(format_halves(result)))


def format_halves(result: HalvesResult) -> str:
    """Write what was found for people."""
    return (
        f"{result.name}: two models, of {result.half:,} real samples each, drew "
        f"{result.samples:,} samples of the same noise\n"
        f"similarity of what both make of one noise: {result.corresponding:.2f} (median cosine; "
        f"of two noises {result.unrelated:.2f})\n"
        f"samples nearer to the half that their model knows: {result.nearer_own:.1%} "
        f"(50% ± {result.nearer_own_se:.1%} where nothing is memorized)"
    )
