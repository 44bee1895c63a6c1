"""How a command ends that fails or is interrupted, and what it then prints."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from imglab import distributed
from imglab.errors import InputError, Stopped
from imglab.failures import explained
from imglab.safe_text import printable

DEBUG = "IMGLAB_DEBUG"
"""The environment variable that asks for tracebacks."""

MOST = 100
"""Lines of a message that are printed; of more, their number is."""


def complain(lines: Sequence[str], error: Exception) -> None:
    """Print the message of an error; with IMGLAB_DEBUG=1, its traceback and its causes as well."""
    left_out = len(lines) - MOST
    if left_out > 0:
        lines = [*lines[:MOST], f"error: and {left_out} more like these"]

    for line in lines:
        print(f"{distributed.prefix()}{printable(line)}", file=sys.stderr)
    if os.environ.get(DEBUG, "") not in ("", "0"):
        for original in _originals(error):
            chain = "".join(traceback.format_exception(original))
            print(printable(chain), end="", file=sys.stderr)


def _originals(error: Exception) -> Iterator[Exception]:
    """Yield the errors whose problems an InputError repeats; another error is its own original."""
    sources = error.sources if isinstance(error, InputError) else []
    if not sources:
        yield error
    for source in sources:
        yield from _originals(source)


@contextmanager
def stoppable(folder: Path | None = None) -> Iterator[None]:
    """Turn an interruption, or a system that fails, into an error that says how to go on.

    What is finished stays, and the same command goes on from there (`Stopped`), unless something
    cannot be opened at all (InputError). An error of the code itself is raised as it is.

    folder  what is being written; None: a command that only reads
    """
    try:
        yield
    # An exit that somebody has decided on is no failure, whatever it follows from.
    except (InputError, Stopped, SystemExit):
        raise
    except KeyboardInterrupt as error:
        if folder is None:
            raise Stopped("interrupted; run the same command again") from error
        what = f"{folder} is unfinished; run the same command again to finish it"
        raise Stopped(what) from error

    # Also what is no Exception: the panic of a library.
    except BaseException as error:
        # Whoever read the output has gone, which click takes in silence. Files have names.
        if isinstance(error, BrokenPipeError) and error.filename is None:
            raise
        explanation = explained(error, folder)
        if explanation is None:
            raise
        raise explanation from error
