"""How a config names what `imglab get` has fetched: `got:smollm2`, with no path of a machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

from imglab.errors import InputError, Problem

PREFIX = "got:"
"""Begins the name of something that `imglab get` fetches."""

VARIABLE = "IMGLAB_DATA"
"""The environment variable that names the data folder."""

RECORD = "fetched.json"
"""The file that says what a folder holds; a folder without it was not fetched, or not whole."""


def data_folder() -> Path:
    """Return the folder of all that is fetched: `$IMGLAB_DATA`, or `imglab` in the user's cache."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "imglab"


def locate(name: str, where: str) -> str:
    """Return the folder that a name of the form `got:smollm2` stands for; other names as they are.

    Raises InputError at the config's key `where` if nothing has been fetched under that name.
    """
    if not name.startswith(PREFIX):
        return name

    short = name.removeprefix(PREFIX)
    if not re.fullmatch(r"[a-z0-9_-]+", short):
        what = f"{name!r} is not the name of something that can be fetched"
        raise InputError(Problem(where, what, "`imglab get` lists the names"))

    folder = data_folder() / short
    if not (folder / RECORD).is_file():
        what = f"{name!r} has not been fetched: it is not in {str(data_folder())!r}"
        remedy = f"run: imglab get {short}; {VARIABLE} names another data folder"
        raise InputError(Problem(where, what, remedy))
    return str(folder)
