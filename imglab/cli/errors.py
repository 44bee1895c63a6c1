"""How a command ends that fails or is interrupted, and what it then prints."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from imglab import distributed
from imglab.errors import InputError, Problem, Stopped
from imglab.safe_text import printable

DEBUG = "IMGLAB_DEBUG"
"""The environment variable that asks for tracebacks."""
DISK_FAILED = (
    errno.EIO,
    errno.ESTALE,
    errno.EBUSY,
    errno.ETIMEDOUT,
    errno.EFBIG,
    errno.EMFILE,
    errno.ENOLCK,
)
"""What the operating system reports when a disk, or a network's file system, fails."""


def complain(lines: Sequence[str], error: Exception) -> None:
    """Print the message of an error; with IMGLAB_DEBUG=1, its traceback and its causes as well."""
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
def stoppable(folder: Path) -> Iterator[None]:
    """Turn an interruption, or a disk that fails, into an error that says how to go on.

    What is finished stays, and the same command goes on from there (`Stopped`), unless the folder
    cannot be written at all (InputError).
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise Stopped(f"{folder} is unfinished; run the same command again to go on") from error

    except OSError as error:
        explained = _explain(error, folder)
        if explained is None:
            raise
        raise explained from error


def _explain(error: OSError, folder: Path) -> Stopped | InputError | None:
    """Return what a failure of the disk means to the user; None if it is not a known one."""
    place = str(error.filename or folder)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = "free some space and run the same command again"
        return Stopped(f"the disk is full; {remedy} ({folder})")

    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        what = f"cannot be written: {error.strerror}"
        return InputError(Problem(place, what, "choose another --out"))

    if error.errno in DISK_FAILED:
        remedy = "finished generations are kept, run the same command again to go on"
        return Stopped(f"{place}: {error.strerror}; {remedy}")

    if error.errno == errno.ENOENT and str(error.filename).startswith(str(folder)):
        what = "was removed while it was in use"
        return InputError(Problem(place, what, "run the same command again"))
    return None
