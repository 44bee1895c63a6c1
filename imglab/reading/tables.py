"""The columns of a table: what parts them in text, and which of them are read."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, field
from typing import Any

HEAD = 1 << 16
"""Characters at the beginning of a table by which it is seen what parts its columns; a cell may be
twice as long before `csv` asks for another limit."""

HINT = re.compile(r"\A\s*sep=.\r?\n", re.IGNORECASE)
DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
"""What may part columns, and how it is called."""


@dataclass(frozen=True)
class Columns:
    """The columns of a table: the one that is read, and others that hold texts.

    split  that may name the split of each row; "" where none does
    """

    read: str
    others: tuple[str, ...]
    split: str = field(default="", compare=False)


def without_hint(text: str) -> str:
    r"""Return a table without the line before its header that tells Excel the delimiter.

    >>> without_hint("sep=;\nid;text")
    'id;text'
    """
    return HINT.sub("", text)


def delimiter_of(text: str) -> str:
    r"""Return the delimiter of a table: one of its header, by which the first rows are alike.

    Of several such ones it is the tab, which texts do not hold, or the one that the header has most
    often; so it is where the rows are alike by none.

    >>> delimiter_of("id;text\n1;Hello, there")
    ';'
    >>> delimiter_of("1.png\ta cat, a dog, a hen\n2.png\ta cow, a pig")
    '\t'
    """
    header = re.split(r"[\r\n]", text.lstrip("\r\n"), maxsplit=1)[0]
    often = sorted(DELIMITERS, key=header.count, reverse=True)
    alike = [each for each in often if each in header and _is_even(text, each)]
    if "\t" in alike:
        return "\t"
    return [*alike, *often][0]


def _is_even(text: str, delimiter: str) -> bool:
    """Say whether the first rows of a table have as many cells as its header."""
    lines = io.StringIO(text[:HEAD], newline="")
    try:
        rows = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
    except csv.Error:
        return False
    if len(text) > HEAD:
        rows.pop()  # it is cut off
    return len({len(row) for row in rows if row}) <= 1


def has_words(value: Any) -> bool:
    """Say whether a cell is a text with letters: the labels of a table are numbers."""
    return isinstance(value, str) and any(map(str.isalpha, value))
