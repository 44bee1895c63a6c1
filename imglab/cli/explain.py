"""The command that explains the keys of a config."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from imglab.errors import InputError, Problem, nearest

if TYPE_CHECKING:
    from imglab.config.reference import Key

WIDEST = 100
"""Columns of the text, at most."""

MOST_NAMED = 8
"""Keys that an error names."""


def _keys_for_shell(incomplete: str) -> list[str]:
    """Return what a shell may complete a key to."""
    from imglab.config.reference import all_keys

    return sorted({key.path for key in all_keys() if key.path.startswith(incomplete)})


def explain(
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="KEY",
            help="A dotted key, e.g. model.steps. Default: the keys of a config.",
            autocompletion=_keys_for_shell,
        ),
    ] = None,
    as_schema: Annotated[
        bool,
        typer.Option("--json-schema", help="Print the JSON schema of configs, for editors."),
    ] = False,
) -> None:
    """Explain a key of a config: what it may be, its default, and what it does.

    Example: imglab explain model.steps
    """
    from imglab.config.reference import all_keys, json_schema, keys_at, keys_below

    if as_schema:
        typer.echo(json.dumps(json_schema(), indent=1))
        return
    if key is None:
        typer.echo("\n".join(_listed([each for each in all_keys() if "." not in each.path])))
        return

    keys = keys_at(key)
    if not keys:
        raise InputError(Problem(key, "is not a key of a config", _remedy(key)))
    for each in keys:
        typer.echo("\n".join(_explained(each)))
    below = keys_below(key)
    if below:
        typer.echo("\n".join(_listed_by_kind(key, below)))


def _remedy(key: str) -> str:
    """Name the keys that end like this one, or the nearest."""
    from imglab.config.reference import all_keys

    paths = sorted({each.path for each in all_keys()})
    alike = [path for path in paths if path.rpartition(".")[2] == key.rpartition(".")[2]]
    if alike:
        return f"there is {', '.join(alike[:MOST_NAMED])}"
    if "." not in key:
        paths = [path for path in paths if "." not in path]
    return nearest(key, paths)


def _explained(key: Key) -> Iterator[str]:
    """Yield the lines about one key of one kind of section."""
    kinds = ""
    if key.kinds:
        kinds = f" ({', '.join(key.kinds)})"
    default = "required"
    if key.default:
        default = f"default {key.default}"

    yield f"{key.path}{kinds}"
    for text in (f"{key.values}; {default}", key.description):
        if text:
            yield textwrap.fill(text, _width(), initial_indent="  ", subsequent_indent="  ")


def _listed_by_kind(path: str, keys: Sequence[Key]) -> Iterator[str]:
    """Yield the lines about the keys of a section, below the kinds of sections that have them.

    Where kinds have a key of one name that is not the same to all of them, it is listed for each.
    """
    kinds: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    for key in keys:
        kinds.setdefault((key.path, key.description), []).append(key.kinds)

    groups: dict[tuple[tuple[str, ...], ...], list[Key]] = {}
    for key in keys:
        groups.setdefault(tuple(kinds[key.path, key.description]), []).append(key)

    for of_kinds, group in groups.items():
        heading = f"Keys of {path}"
        if len(groups) > 1:
            heading += f", {_kinds_in_words(of_kinds)}"
        yield ""
        yield textwrap.fill(f"{heading}:", _width(), subsequent_indent="  ")
        yield from _listed(group)


def _kinds_in_words(kinds: Sequence[tuple[str, ...]]) -> str:
    """Name kinds of sections by the sections around them.

    >>> _kinds_in_words([("image", "folder"), ("image", "npz"), ("text", "files")])
    'kind folder or npz of image, kind files of text'
    """
    inner: dict[str, list[str]] = {}
    for each in dict.fromkeys(kinds):
        around = "".join(f" of {kind}" for kind in reversed(each[:-1]))
        inner.setdefault(around, []).append("".join(each[-1:]) or "any")

    parts = []
    for around, names in inner.items():
        most = ", ".join(names[:-1])
        several = f"{most} or {names[-1]}" if most else names[-1]
        parts.append(f"kind {several}{around}")
    return ", ".join(parts)


def _listed(keys: Sequence[Key]) -> Iterator[str]:
    """Yield a line for each name of a key: how its text begins."""
    descriptions: dict[str, str] = {}
    for key in keys:
        descriptions.setdefault(key.path.rpartition(".")[2], key.description)
    for name, description in descriptions.items():
        yield f"  {name:18} {textwrap.shorten(description, _width() - 22, placeholder=' ...')}"


def _width() -> int:
    return min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns)
