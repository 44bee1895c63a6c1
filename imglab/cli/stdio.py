"""Standard output and error, so that a run can print whether they lead anywhere or not."""

from __future__ import annotations

import io
import os
import sys

STDERR = 2
"""A run must not open a file under this number or a lower one: libraries would print into it."""


def open_stdio() -> None:
    """Make standard output and error safe to print to.

    A closed stream swallows what is printed. A stream whose encoding lacks a character shows its
    escape instead.
    """
    while (spare := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        pass
    os.close(spare)

    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            # It stays open for as long as the program runs.
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
