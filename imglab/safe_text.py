"""Text from outside, made safe to print: the names of files, and what models wrote."""

from __future__ import annotations

import re
from pathlib import PurePosixPath, PureWindowsPath

JOINERS = "\u200c\u200d"
"""Invisible parts of words (Persian, Hindi) and of composed emoji: neither moves a cursor."""

LOCAL_PATH = re.compile(
    r"(?<![\w.:/\\~-])(?:~\w*|[A-Za-z]:)?(?:[/\\][^\s/\\'\",;:)\]}]+){2,}[/\\]?"
)
"""An absolute path of two names or more within other text."""


def without_local_paths(text: str) -> str:
    """Shorten absolute paths in what is published to their last name: `.../data`.

    The others name a user's home, and the machines of an institution.
    """
    if is_local_path(text.strip()) and "\n" not in text.strip():
        return _last_name(text.strip())
    return LOCAL_PATH.sub(lambda match: _last_name(match[0]), text)


def is_local_path(text: str) -> bool:
    """Say whether a text is an absolute path, of this system or of Windows, or one in a home."""
    starts = text.startswith(("~", "/")) and "/" in text[1:]
    return starts or bool(PureWindowsPath(text).drive)


def _last_name(path: str) -> str:
    name = PurePosixPath(path.replace("\\", "/")).name
    return f".../{name}"


def printable(text: str) -> str:
    """Escape what is not printable, except line breaks and the joiners within words.

    The result can neither drive a terminal nor reverse the direction of a line.
    """
    shown = []
    for character in text:
        if character.isprintable() or character == "\n" or character in JOINERS:
            shown.append(character)
        else:
            shown.append(ascii(character)[1:-1])
    return "".join(shown)


def one_line(text: str) -> str:
    """Make a name from outside printable, on one line."""
    return printable(text.replace("\n", " "))


def is_text(text: str) -> bool:
    """Say whether a string can be written as UTF-8.

    The name of a file may contain half a character (a lone surrogate), which cannot.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
