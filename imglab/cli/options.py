"""Arguments and options that several commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from imglab.config.paths import expand_home


def _configs_for_shell(incomplete: str) -> list[str]:
    """Return what a shell may complete the name of a config to."""
    from imglab.config.presets import preset_names

    return list(preset_names(incomplete))


ConfigPath = Annotated[
    Path,
    typer.Argument(
        metavar="CONFIG",
        help="A config file, or the name of a preset, e.g. digits (see `imglab list`).",
        autocompletion=_configs_for_shell,
    ),
]


Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Run directory. Default: runs/<config name>."),
]


Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a key, e.g. model.steps=20. Repeatable."
    ),
]


Workers = Annotated[
    int, typer.Option("--workers", metavar="N", min=1, help="Chains that run at the same time.")
]


RayAddress = Annotated[
    str | None,
    typer.Option("--ray", metavar="ADDRESS", help="Run on this Ray cluster instead, e.g. auto."),
]


Runs = Annotated[
    list[Path], typer.Argument(metavar="RUN...", help="Run directories, e.g. runs/image_digits.")
]


AsJson = Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")]


def in_home(argument: str) -> str:
    """Return an argument with the user's home for `~`, which shells leave alone after `=`."""
    option = re.match(r"--[\w-]+=", argument)
    start = 0
    if option:
        start = option.end()
    return argument[:start] + expand_home(argument[start:])
