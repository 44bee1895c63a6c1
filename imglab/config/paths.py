"""Paths as people write them. No pydantic, so that the command line starts at once."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

from imglab.errors import InputError, Problem

CLOSE = 0.6
"""How alike the names of a missing file and of one beside it are, from which on it is suggested."""


def expand_home(path: str) -> str:
    """Return a path with the user's home in place of a leading `~` or `$HOME`."""
    path = re.sub(r"^(\$HOME|\$\{HOME\})(?=/|$)", "~", path)
    if path == "~" or path.startswith("~/"):
        return os.path.expanduser(path)
    return path


def can_only_be_a_path(name: str) -> bool:
    """Say whether a name has a form that no name of the hub has: `owner/name`, or `name` alone.

    >>> [can_only_be_a_path(name) for name in ("./gpt2", "runs/x/model", "openai/gpt2", "gpt2")]
    [True, True, False, False]
    """
    begins = name.startswith((".", "/", "~"))
    return begins or "\\" in name or name.endswith("/") or name.count("/") > 1


def check_not_mistyped(name: str, where: str, remedy: str) -> None:
    """Raise InputError, at the config's key `where`, for a path at which there is nothing.

    name  a path, or a name of the hub, of which nothing is said here
    """
    if can_only_be_a_path(name) and not _exists(Path(expand_home(name))):
        raise InputError(missing_path(name, where, remedy))


def missing_path(name: str, where: str, remedy: str, kind: str = "folder") -> Problem:
    """Return the problem of a path at which there is no such thing as `kind`.

    Where there is nothing, it says where the path ends and what has a name like the missing one.
    """
    above = Path(os.path.abspath(expand_home(name)))
    if above.is_dir():
        return Problem(where, f"there is no {kind} {name!r}: it is a folder", remedy)
    if _exists(above):
        return Problem(where, f"there is no {kind} {name!r}: it is a file", remedy)

    missing = above.name
    while not _exists(above):
        missing = above.name
        above = above.parent

    what = f"there is no {kind} {name!r}: nothing in {str(above)!r} is called {missing!r}"
    near = nearest_sibling(name)
    if near is not None:
        remedy = f"did you mean {near!r}? If not, {remedy}"
    return Problem(where, what, remedy)


def nearest_sibling(name: str) -> str | None:
    """Return the path, written as `name` is, of what lies where `name` would and is called alike.

    None where nothing does. Names are compared where the path ends that exists.
    """
    parts = Path(name).parts
    for length, part in enumerate(parts):
        above = Path(*parts[:length])
        if _exists(Path(expand_home(str(above / part)))):
            continue
        try:
            siblings = sorted(os.listdir(expand_home(str(above))))
        except OSError:
            return None
        close = difflib.get_close_matches(part, siblings, n=1, cutoff=CLOSE)
        if not close:
            return None

        # What followed the mistyped part may exist below the right one.
        near = above / close[0]
        rest = near.joinpath(*parts[length + 1 :])
        if _exists(Path(expand_home(str(rest)))):
            near = rest
        return f"./{near}" if name.startswith("./") else str(near)
    return None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
