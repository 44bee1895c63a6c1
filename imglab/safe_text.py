"""Text from outside, made safe to print: the names of files, and what models wrote."""

from __future__ import annotations

JOINERS = "\u200c\u200d"
"""Invisible parts of words (Persian, Hindi) and of composed emoji: neither moves a cursor."""


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
