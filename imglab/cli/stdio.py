"""Standard output and error, so that a run can print whether they lead anywhere or not."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterable
from typing import Any

from imglab.errors import silence_libraries
from imglab.safe_text import printable

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
            setattr(sys, name, SafeStream(stream))


class SafeStream:
    """A text stream that escapes what would drive a terminal, whoever prints to it.

    Names of files and of keys come from strangers, and libraries print them as they are. `raw` is
    the stream itself, for what draws on the terminal.
    """

    def __init__(self, raw: io.TextIOWrapper) -> None:
        self.raw = raw

    def write(self, text: str) -> int:
        """Write a text with escapes in place of control and bidirectional codes."""
        if not isinstance(text, str):
            raise TypeError(f"expected text, not {type(text).__name__}")
        self.raw.write("\t".join(map(printable, text.split("\t"))))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


def seal_off() -> None:
    """Keep the user's settings of matplotlib, and the remarks of libraries, out of a run.

    A notebook leaves MPLBACKEND set for the programs that it starts, whose environment may lack
    that backend.
    """
    os.environ["MPLBACKEND"] = "agg"
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    silence_libraries()
