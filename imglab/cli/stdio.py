"""Standard output and error, so that a run can print whether they lead anywhere or not."""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings

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


def seal_off() -> None:
    """Keep the user's settings of matplotlib, and the remarks of libraries, out of a run.

    A notebook leaves MPLBACKEND set for the programs that it starts, whose environment may lack
    that backend. Warnings are shown if Python is asked for them, by -W or PYTHONWARNINGS.
    """
    os.environ["MPLBACKEND"] = "agg"
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    if not sys.warnoptions:
        warnings.filterwarnings("ignore")
        warnings.filterwarnings("default", module=r"imglab\b")
