"""What parts the columns of a table in text."""

from __future__ import annotations

from typing import Any


def delimiter_of(text: str) -> str:
    r"""Return the delimiter of a table by its header: a comma, a semicolon, a tab or a bar.

    >>> delimiter_of("id;text\n1;Hello, there")
    ';'
    """
    header = text.partition("\n")[0]
    return max(",;\t|", key=header.count)


def has_words(value: Any) -> bool:
    """Say whether a cell is a text with letters: the labels of a table are numbers."""
    return isinstance(value, str) and any(map(str.isalpha, value))
