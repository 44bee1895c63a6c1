"""The commands that put runs, models and samples where others find them, and fetch them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imglab.cli.errors import stoppable
from imglab.safe_text import printable

PLACE = "hub:OWNER/NAME, or a folder."


def push(
    source: Annotated[
        str, typer.Argument(metavar="RUN", help="A run, or RUN@G: the model of a generation.")
    ],
    to: Annotated[str, typer.Argument(metavar="PLACE", help=PLACE)],
    samples: Annotated[
        bool, typer.Option("--samples", help="Of RUN@G, what the generation drew.")
    ] = False,
    private: Annotated[
        bool, typer.Option("--private", help="On the hub: nobody else may see it.")
    ] = False,
) -> None:
    """Put a run, a model or samples on the hub, with a card that says what it is.

    The hub asks who you are: `hf auth login` signs you in. A folder, e.g. on a disk of your
    group, does as well.

    Example: imglab push runs/image_digits@3 hub:me/digits-generation-3
    """
    from imglab.running.sharing.places import place_of
    from imglab.running.sharing.push import paths_inside
    from imglab.running.sharing.push import push as push_to

    for path in paths_inside(source):
        typer.echo(printable(f"note: its config names a place of this machine: {path}"), err=True)
    with stoppable():
        what = push_to(source, place_of(to), samples=samples, private=private)
    typer.echo(printable(f"{to}: {what}"))


def pull(
    source: Annotated[str, typer.Argument(metavar="PLACE", help=PLACE)],
    to: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
) -> None:
    """Fetch what was pushed; of a run, every file is compared with its hash.

    Example: imglab pull hub:me/digits runs/digits
    """
    from imglab.running.sharing.places import place_of
    from imglab.running.sharing.pull import pull as pull_from

    with stoppable(to):
        what = pull_from(place_of(source), to)
    typer.echo(printable(f"{to}: {what}"))
