"""Standard output and error, so that a run can print whatever they are connected to, or to nothing."""

from __future__ import annotations

import io
import os
import sys

STDERR = 2
"""Below and up to this number a file of a run must not be opened: what libraries print would end in it."""


def open_stdio() -> None:
    """Let a closed stream swallow what is printed, and one whose encoding lacks a sign show its escape instead."""
    while (spare := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        pass
    os.close(spare)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (for as long as the program runs)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
