"""Which column of a table holds the texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imglab.errors import InputError, Problem

OBVIOUS = ("text", "content", "document", "article", "story", "body", "sentence")
"""Names of columns of texts, the first one that a file has."""

FIRST = 8
"""Rows by which it is seen what a column holds."""


@dataclass(frozen=True)
class Columns:
    """The columns of a table: the one that is read, and others that hold texts."""

    read: str
    others: tuple[str, ...]

    @classmethod
    def among(
        cls, names: Sequence[str], examples: Sequence[dict[str, Any]], place: str, where: str
    ) -> Columns | None:
        """Return those of a table, by its first rows; None where it has no column."""
        if not names:
            return None
        read = column_of(names, examples, None, place, where)
        others = [name for name in _with_texts(names, examples) if name != read]
        return cls(read, tuple(others))


def texts_of(
    rows: Sequence[dict[str, Any]], column: str | None, place: str, where: str
) -> list[str]:
    """Return the texts in a column of rows; "" of rows that lack it, or have null there."""
    if not rows:
        return []
    name = column_of(names_of(rows), rows[:FIRST], column, place, where)
    return check_texts([row.get(name) for row in rows], name, place, where)


def column_of(
    names: Sequence[str],
    examples: Sequence[dict[str, Any]],
    column: str | None,
    place: str,
    where: str,
) -> str:
    """Return the name of the column that holds the texts; InputError where it is not clear.

    examples  the first rows
    """
    at = f"{where.rpartition('.')[0]}.column"
    if column is not None:
        if column not in names:
            what = f"{place!r} has no column {column!r}"
            raise InputError(Problem(at, what, f"one of: {', '.join(map(str, names))}"))
        return column

    for name in OBVIOUS:
        if name in names:
            return name
    texts = _with_texts(names, examples)
    if len(texts) == 1:
        return texts[0]
    if len(names) == 1:
        return names[0]
    what = f"{place!r} has several columns, and none is called `text`"
    raise InputError(Problem(at, what, f"name one of: {', '.join(map(str, texts or names))}"))


def names_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of all columns of rows, in the order of their first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _with_texts(names: Sequence[str], examples: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the columns that hold texts, as far as the first rows show it."""
    return [name for name in names if any(_is_text(row.get(name)) for row in examples)]


def _is_text(value: Any) -> bool:
    """Say whether a value is a text with letters: the labels of a table are numbers."""
    return isinstance(value, str) and any(map(str.isalpha, value))


def check_texts(values: Iterable[Any], column: str, place: str, where: str) -> list[str]:
    """Return the values of a column, "" for null; InputError where one is not text."""
    texts = []
    for value in values:
        if value is None:
            value = ""
        if not isinstance(value, str):
            at = f"{where.rpartition('.')[0]}.column"
            raise InputError(_not_text(value, f"the column {column!r} of {place!r}", at))
        texts.append(value)
    return texts


def _not_text(value: Any, column: str, at: str) -> Problem:
    """Return the problem of a column that holds something else than texts."""
    rows = value
    if isinstance(value, dict):
        rows = [value]
    if isinstance(rows, list) and rows and isinstance(rows[0], dict):
        if {"role", "from", "content", "value"} & set(rows[0]):
            what = f"{column} holds lists of messages, not text"
            remedy = (
                "write each conversation as one text (apply_chat_template), and name its column"
            )
            return Problem(at, what, remedy)
        what = f"{column} holds lists of objects, not text"
        return Problem(at, what, "write them as JSON lines, one object in each line")

    what = f"{column} holds {type(value).__name__}, not text: {str(value)[:40]}"
    return Problem(at, what, "name a column of texts")
