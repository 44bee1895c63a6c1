"""How the commands of studies end: what failed, and what was answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from imglab.safe_text import printable

if TYPE_CHECKING:
    from imglab.studies.jobs import Outcome

GRAVEST = (3, 2, 1)
"""Exit codes of runs that did not finish: the first of these that occurs is the command's."""


def failures(outcomes: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """Return the outcomes of runs that did not finish; say why on stderr."""
    failed = {name: outcome for name, outcome in outcomes.items() if outcome.code}
    for name, outcome in failed.items():
        typer.echo(f"{name}: {printable(outcome.message)}", err=True)
    return failed


def exit_after(failed: Mapping[str, Outcome]) -> None:
    """End the command with the gravest exit code, if any run failed."""
    if failed:
        raise typer.Exit(max((outcome.code for outcome in failed.values()), key=GRAVEST.index))


def teller(*, silent: bool) -> Callable[[str], None]:
    """Return what prints a line, or nothing where the command prints JSON alone."""

    def tell(line: str) -> None:
        if not silent:
            typer.echo(printable(line))

    return tell


def show_result(
    result: Mapping[str, Any], sentences: Iterable[str], paths: Iterable[Path], *, as_json: bool
) -> None:
    """Print a study's result as JSON, or its sentences and the files that were written."""
    if as_json:
        typer.echo(json.dumps(result, indent=1))
        return
    for line in (*sentences, *map(str, paths)):
        typer.echo(printable(line))
