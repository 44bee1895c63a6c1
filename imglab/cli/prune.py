"""The command that removes what a finished run need not have any more."""

from __future__ import annotations

from pathlib import Path
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

    from imglab.store.listing import begun_runs

    for folder in [each for path in runs for each in begun_runs(path)]:
        typer.echo(printable(_prune(folder, policy, yes=yes)))


def _keep(name: str, text: str) -> Keep:
    """Return which generations an option names."""
    if text == "all":
        return "all"
    if text == "last":
        return "last"
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise InputError(Problem(f"--{name}", f"{text!r} is neither all, last nor a number above 0"))


def _prune(folder: Path, policy: dict[str, Keep], *, yes: bool) -> str:
    """Prune a run, or say what that would remove."""
    from imglab.config.machine import size_text
    from imglab.run.keeping import turns_of
    from imglab.store import layout, locks
    from imglab.store.faults import check_run
    from imglab.store.listing import is_run
    from imglab.store.pruned import Pruned, removable, remove, size_of
    from imglab.store.reader import RunFolder
    from imglab.store.sealed_config import read_sealed

    if not is_run(folder):
        raise InputError(Problem(str(folder), "is not a run directory", "name one"))
    busy = Problem(str(folder), "another process is writing this run", "wait for it, or stop it")
    with locks.held(folder / locks.RUN, busy):
        check_run(folder)
        config = read_sealed(folder / "config.yaml")
        count = layout.count_finished(folder)
        if count < config.generations and policy["samples"] != "all":
            what = f"has finished {count} of {config.generations} generations, and may read samples"
            raise InputError(Problem(str(folder), what, "finish it, or keep all samples"))

        removed = removable(folder, policy, last=count - 1, turns=turns_of(config))
        size = size_text(size_of(folder, removed))
        line = Pruned(removed).line() or "nothing"
        if not yes:
            return f"{folder}: would remove {line} ({size}); --yes removes it"
        stored = RunFolder(folder)
        sizes = {g: stored.size(g) for g in removed if "samples" in removed[g]}
        remove(folder, removed, sizes)
    return f"{folder}: removed {line} ({size})"
