"""Text from outside, made safe to print: names of files, and what models wrote."""

from __future__ import annotations


def printable(text: str) -> str:
    """Show what is not printable, but line breaks, as escapes: it cannot drive a terminal or reorder a line."""
    return "".join(
        sign if sign.isprintable() or sign == "\n" else ascii(sign)[1:-1] for sign in text
    )


def one_line(text: str) -> str:
    """Show a name from outside on one line."""
    return printable(text.replace("\n", " "))


def is_text(text: str) -> bool:
    """Say whether UTF-8 can hold it: half a character cannot be written, and the name of a file may have one."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
