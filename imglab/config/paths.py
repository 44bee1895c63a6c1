"""Paths as people write them. No pydantic, so that the command line starts at once."""

from __future__ import annotations

import os
import re


def expand_home(path: str) -> str:
    """Return a path with the user's home in place of a leading `~` or `$HOME`."""
    path = re.sub(r"^(\$HOME|\$\{HOME\})(?=/|$)", "~", path)
    if path == "~" or path.startswith("~/"):
        return os.path.expanduser(path)
    return path
