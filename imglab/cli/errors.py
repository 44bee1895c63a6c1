"""How failures of the disk and interruptions end a command."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imglab.errors import InputError, Problem, Stopped
from imglab.safe_text import printable

DISK_FAILED = (
    errno.EIO,
    errno.ESTALE,
    errno.EBUSY,
    errno.ETIMEDOUT,
    errno.EFBIG,
    errno.EMFILE,
    errno.ENOLCK,
)
"""What a disk, or a network's file system, says when it does not do what it should."""


@contextmanager
def stoppable(folder: Path) -> Iterator[None]:
    """Turn an interruption and a disk that fails into `Stopped`: what is finished stays, the same command goes on."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Stopped(f"{folder} is unfinished; run the same command again to go on") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Stopped(
                f"the disk is full; free some space and run the same command again ({folder})"
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            problem = Problem(
                str(error.filename or folder),
                f"cannot be written: {error.strerror}",
                "choose another --out",
            )
            raise InputError(problem) from error
        if error.errno in DISK_FAILED:
            what = f"{printable(str(error.filename or folder))}: {error.strerror}"
            raise Stopped(
                f"{what}; what was finished is kept, run the same command again to go on"
            ) from error
        if error.errno == errno.ENOENT and str(error.filename).startswith(str(folder)):
            problem = Problem(
                str(error.filename), "was removed while it was in use", "run the same command again"
            )
            raise InputError(problem) from error
        raise
