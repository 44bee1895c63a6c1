"""Room on the disk for what is fetched."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from imglab.errors import InputError, Problem

FULL = errno.ENOSPC
REMEDY = "free some space, or choose another data folder with --to"


def check_room(folder: Path, needed: int) -> None:
    """Raise InputError unless the disk of an existing folder has `needed` bytes left."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        what = f"needs {needed / 1e6:.0f} MB, but the disk has {free / 1e6:.0f} MB left"
        raise InputError(Problem(str(folder), what, REMEDY))


def disk_is_full(error: BaseException) -> bool:
    """Say whether an error means that the disk, or the user's part of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def explain(error: OSError, folder: Path) -> InputError | None:
    """Return what a failure to write means to the user; None if it is not a known one."""
    if disk_is_full(error):
        return InputError(Problem(str(folder), "the disk is full", REMEDY))
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
        what = f"cannot be written: {error.strerror}"
        remedy = "choose another data folder with --to"
        return InputError(Problem(str(error.filename or folder), what, remedy))
    return None
