"""The command that removes what a finished run need not have any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from imglab.cli.options import Runs
from imglab.errors import InputError, Problem
from imglab.safe_text import printable

if TYPE_CHECKING:
    from imglab.store.pruned import Keep


def _option(name: str) -> typer.models.OptionInfo:
    text = f"Which generations keep their {name}: all, last, or every n-th (a number)."
    option: typer.models.OptionInfo = typer.Option(f"--{name}", metavar="WHICH", help=text)
    return option


def prune(
    runs: Runs,
    models: Annotated[str, _option("models")] = "all",
    samples: Annotated[str, _option("samples")] = "all",
    features: Annotated[str, _option("features")] = "all",
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove it. Without this, only say what would be removed.")
    ] = False,
) -> None:
    """Remove models, samples or features of finished generations, to save space.

    Metrics, pictures and pages stay, and `imglab verify` knows what was removed. The models of the
    first and of the last generation stay, too. Without --yes nothing is removed.

    Example: imglab prune runs/image_digits --models last --features last --yes
    """
    policy = {
        "models": _keep("models", models),
        "samples": _keep("samples", samples),
        "features": _keep("features", features),
    }
    if set(policy.values()) == {"all"}:
        remedy = "e.g. --models last"
        raise InputError(Problem("imglab prune", "keeps everything: nothing is asked for", remedy))

    from imglab.running.pruning import prune_run
    from imglab.store.listing import begun_runs

    for folder in [each for path in runs for each in begun_runs(path)]:
        what = prune_run(folder, policy, removes=yes)
        line = f"{folder}: removed {what}"
        if not yes:
            line = f"{folder}: would remove {what}; --yes removes it"
        typer.echo(printable(line))


def _keep(name: str, text: str) -> Keep:
    """Return which generations an option names."""
    if text == "all":
        return "all"
    if text == "last":
        return "last"
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise InputError(Problem(f"--{name}", f"{text!r} is neither all, last nor a number above 0"))
