"""What an error says: the content is wrong, or the system could not do what it was asked to do.

A read has three answers. The bytes are there; or they are others than were written, which is
damage; or they cannot be read now, because a disk, a network or the memory fails. Only the second
one says anything of the file. Everything that opens files asks here which one it got. No torch.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

from imglab.errors import InputError, Problem, Stopped, first_line

NAMES = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,
        errno.ENOTEMPTY,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.EXDEV,
    }
)
"""What the system answers to a wrong name. It has then looked: this is no failure."""

DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

MEMORY = "too little memory"
NO_MEMORY = re.compile(r"can't allocate memory|cannot allocate memory|out of memory", re.IGNORECASE)
"""How torch, the accelerators' drivers and the system say it."""

NUMBER = re.compile(r"os error (\d+)\)")
"""How libraries in Rust name the number of the system's error."""

LOST_PEER = re.compile(r"gloo|nccl|process group|TCPStore", re.IGNORECASE)
LOSSES = re.compile(r"closed by peer|reset by peer|broken pipe|connection refused|timed out|abort")
"""What the messages of the other processes of a run say when one of them has died."""

AGAIN = "finished generations are kept, run the same command again to go on"


class Unavailable(Stopped):
    """Something cannot be read now; nothing says that it is damaged. Exit code 3."""


def system_failure(error: BaseException) -> str | None:
    """Say in words in what the system failed; None: the error is one of content, or of a name.

    The errors that an error comes from count as well: libraries wrap the system's in their own.
    A network that is not reached says nothing of what lies on this machine.
    """
    for each in _chain(error):
        if isinstance(each, URLError):
            return None
        if isinstance(each, MemoryError) or NO_MEMORY.search(str(each)):
            return MEMORY

        number = error_number(each)
        if number is not None and number not in NAMES:
            return os.strerror(number)
    return None


def error_number(error: BaseException) -> int | None:
    """Return the number of the system's error that an exception is, or names; None: neither."""
    # The resolver of names counts its errors by itself.
    if isinstance(error, socket.gaierror | socket.herror):
        return None
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    # safetensors raises this class itself, without a number.
    if type(error) is FileNotFoundError:
        return errno.ENOENT
    number = NUMBER.search(str(error))
    if number is None:
        return None
    return int(number[1])


def raise_if_unavailable(error: BaseException, path: Path, *, ours: bool = False) -> None:
    """Raise Unavailable if `error` says nothing of what is in `path`: the system cannot read it.

    ours  whether the lab has written the file. A right that is missing is then no reason to call it
          damaged; of a file that a person names, it is for the person to mend
    """
    failure = system_failure(error)
    is_denied = any(error_number(each) in DENIED for each in _chain(error))
    if failure is None or (is_denied and not ours):
        return

    remedy = AGAIN
    if is_denied:
        remedy = "ask for the right to read it"
    raise Unavailable(f"{path}: cannot be read now: {failure}; {remedy}") from error


def is_panic(error: BaseException) -> bool:
    """Say whether a library in Rust has panicked: each has a class of its own for it."""
    return type(error).__name__ == "PanicException"


def explained(error: BaseException, folder: Path | None = None) -> InputError | Stopped | None:
    """Return what a failure means to the user; None if it is not one of the system.

    folder  what is being written, if that is a run
    """
    if is_panic(error):
        what = f"failed inside: {first_line(error)}"
        place = str(folder or "a library")
        return InputError(Problem(place, what, "what it was opened with may be damaged"))

    if _is_lost_peer(error):
        return Stopped(f"another process of the run has ended; {AGAIN}")
    number = error_number(error)
    if isinstance(error, OSError) and number is not None:
        return _explained_number(error, number, folder)

    failure = system_failure(error)
    if failure is None or isinstance(error, OSError):
        return None
    return Stopped(f"{_named(folder)}{failure}: {first_line(error)}; {AGAIN}")


def _explained_number(
    error: OSError, number: int, folder: Path | None
) -> InputError | Stopped | None:
    place = str(error.filename or folder or "")
    answer = error.strerror or os.strerror(number)
    if number in FULL:
        remedy = "free some space and run the same command again"
        return Stopped(f"the disk is full; {remedy} ({folder or place})")

    if number in DENIED:
        remedy = "ask for the right to it, or choose another --out"
        return InputError(Problem(place, f"cannot be read or written: {answer}", remedy))

    if number == errno.ENOENT:
        what = "was removed, or moved, while it was in use"
        return InputError(Problem(place, what, "run the same command again"))
    if number in NAMES:
        return InputError(Problem(_short(place), answer, "choose another name"))
    return Stopped(f"{_named(place)}{answer}; {AGAIN}")


def _is_lost_peer(error: BaseException) -> bool:
    text = str(error)
    is_runtime = isinstance(error, RuntimeError)
    return is_runtime and bool(LOST_PEER.search(text)) and bool(LOSSES.search(text.lower()))


def _named(place: object) -> str:
    if not place:
        return ""
    return f"{place}: "


def _short(place: str) -> str:
    if len(place) < 200:
        return place
    return f"{place[:80]}..."


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it comes from."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__
