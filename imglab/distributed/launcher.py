"""What the environment says of a launcher of several processes, such as `torchrun`. No torch."""

from __future__ import annotations

import os

LAUNCHER = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""The variables that every launcher of several processes sets."""


def launched() -> int:
    """Return how many processes a launcher has started, as the environment says.

    A launcher sets all of `LAUNCHER`. Fewer of them were left behind, by a shell of a cluster or by
    a notebook, and mean nothing.
    """
    size = os.environ.get("WORLD_SIZE", "")
    if size.isdecimal() and int(size) and not _missing():
        return int(size)
    return 1


def forget_stray() -> str:
    """Remove a launcher's variables that are not complete, before a library believes them.

    Return what to tell the user, or "" where there were none.
    """
    stray = [name for name in LAUNCHER if name in os.environ]
    missing = _missing()
    if not stray or not missing:
        return ""

    named = ", ".join(f"{name}={os.environ.pop(name)}" for name in stray)
    return f"{named} in the environment, without {', '.join(missing)}: taken as one process"


def _missing() -> list[str]:
    return [name for name in LAUNCHER if not os.environ.get(name)]
