"""Which column of rows holds the texts, and what is no column of texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from imglab.errors import InputError, Problem
from imglab.reading import Columns, has_words, split_column, split_columns, split_of_cell
from imglab.safe_text import is_text
from imglab.text.group_columns import check_column, group_names

OBVIOUS = ("text", "content", "document", "article", "story", "body", "sentence")
"""Names of columns of texts, in any case, the first one that a file has."""

LONGEST_NAME = 5
"""Words that the name of a column may have."""

WORDS_OF_SPLIT = 2
"""Words that the name of a split may have in a row."""

CHAT = {"role", "from", "content", "value"}
"""Keys of the messages of a chat, of which each has some."""

MOST_NAMED = 20
"""Columns of a table that are named in a message."""

FIRST = 8
"""Rows by which it is seen what a column holds."""


@dataclass(frozen=True)
class Documents:
    """What was read from files.

    splits   what the row of each text calls its split; "" where it names none
    columns  of each table
    groups   the name of the group of each text; None where no column names them
    """

    texts: list[str]
    splits: list[Any]
    columns: tuple[Columns, ...] = ()
    groups: list[str] | None = None

    @classmethod
    def plain(cls, texts: list[str]) -> Documents:
        """Return texts that come from no rows."""
        return cls(texts, [""] * len(texts))


def texts_of(
    rows: Sequence[dict[str, Any]],
    column: str | None,
    place: str,
    where: str,
    *,
    group: str | None = None,
) -> Documents:
    """Return the texts in a column of rows; "" of rows that lack it, or have null there.

    group  the column that names the group of each
    """
    if not rows:
        return Documents([], [], groups=None if group is None else [])
    names = names_of(rows)
    columns = columns_of(names, rows[:FIRST], column, place, where, group=group)
    texts = check_texts([row.get(columns.read) for row in rows], columns.read, place, where)
    split = split_column(names, lambda name: (row.get(name) for row in rows))
    splits = [split_of_cell(split, row.get(split, "")) for row in rows]
    groups = None
    if group is not None:
        groups = group_names((row.get(group) for row in rows), group, place)
    return Documents(texts, splits, (replace(columns, split=str(split or "")),), groups)


def _candidates(names: Sequence[str], column: str | None, group: str | None) -> list[str]:
    """Return the columns that may hold the texts: not that of the groups, unless it seems to be.

    column  that is named as the one of the texts
    """
    others = [
        name for name in names if name != group or name == column or name.strip().lower() in OBVIOUS
    ]
    return others or list(names)


def columns_of(
    names: Sequence[str],
    examples: Sequence[dict[str, Any]],
    column: str | None,
    place: str,
    where: str,
    *,
    group: str | None = None,
) -> Columns:
    """Return the columns of a table; InputError where it is not clear which holds the texts.

    examples  the first rows
    group     the column that names the group of each text, which is checked
    """
    candidates = _candidates(names, column, group)
    read = column_of(candidates, examples, column, place, where)
    check_column(group, names, read, place)
    names = candidates
    passed = (read, *_of_splits(names, examples))
    return Columns(read, tuple(each for each in _with_texts(names, examples) if each not in passed))


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
            raise InputError(Problem(at, what, f"one of: {_some(names)}"))
        return column

    in_any_case = {str(name).strip().lower(): name for name in reversed(names)}
    for spelt in (dict(zip(names, names, strict=True)), in_any_case):
        for name in OBVIOUS:
            if name in spelt:
                return spelt[name]
    aside = _of_splits(names, examples)
    texts = [name for name in _with_texts(names, examples) if name not in aside]
    _check_flat(names, examples, texts, place, at)
    if len(texts) == 1 or len(names) == 1:
        return _checked_name([*texts, *names][0], place, at)
    for name in texts:
        _checked_name(name, place, at)
    what = f"{place!r} has several columns, and none is called `text`"
    remedy = f"name one of: {_some(texts or names)}; or write what belongs together as one"
    raise InputError(Problem(at, what, remedy))


def _of_splits(names: Sequence[str], examples: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the columns that are called as those of splits, and hold no texts."""
    columns = []
    for name in split_columns(names):
        cells = [str(row.get(name, "")) for row in examples]
        if all(len(cell.split()) <= WORDS_OF_SPLIT for cell in cells):
            columns.append(name)
    return columns


def _check_flat(
    names: Sequence[str],
    examples: Sequence[Mapping[str, Any]],
    texts: Sequence[str],
    place: str,
    at: str,
) -> None:
    """Raise InputError where the texts lie deeper than in a column, as messages of chats do.

    texts  columns that hold texts beside, such as an identifier
    """
    for row in examples:
        for name in names:
            objects = _objects(row.get(name))
            is_chat = bool(objects) and bool(CHAT & set(objects[0]))
            if objects and (is_chat or not texts or len(examples) == 1):
                raise InputError(_not_text(row[name], f"the column {name!r} of {place!r}", at))


def _objects(value: Any) -> list[Any]:
    """Return the objects that a value is or lists; none where it holds something else."""
    values = value
    if isinstance(value, dict):
        values = [value]
    if isinstance(values, list) and values and isinstance(values[0], dict):
        return values
    return []


def _some(names: Sequence[str]) -> str:
    """Name the first columns of a table and say how many more there are."""
    text = ", ".join(map(str, names[:MOST_NAMED]))
    if len(names) > MOST_NAMED:
        text += f" and {len(names) - MOST_NAMED:,} more"
    return text


def names_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of all columns of rows, in the order of their first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _with_texts(names: Sequence[str], examples: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the columns that hold texts, as far as the first rows show it."""
    return [name for name in names if any(has_words(row.get(name)) for row in examples)]


def _checked_name(name: str, place: str, at: str) -> str:
    """Return the name of a column; InputError where it reads like a text itself."""
    if len(str(name).split()) > LONGEST_NAME:
        what = f"{place!r} begins with a text, {str(name)[:40]!r}, not with names of columns"
        remedy = "put a line of names before it, e.g. `text`; if it is a name, set column to it"
        raise InputError(Problem(at, what, remedy))
    return name


def check_no_images(rows: Sequence[dict[str, Any]], place: str, where: str) -> None:
    """Raise InputError where a column holds images, as `datasets` stores them."""
    for row in rows:
        for name, value in row.items():
            if isinstance(value, dict) and {"bytes", "path"} <= set(value):
                what = f"the column {name!r} of {place!r} holds images, not text"
                remedy = (
                    "save them into a folder (row[image].save(...)); to read the texts alone, name "
                    "their column"
                )
                raise InputError(Problem(where, what, remedy))


def check_texts(values: Iterable[Any], column: str, place: str, where: str) -> list[str]:
    """Return the values of a column, "" for null; InputError where one is not text."""
    texts = []
    for value in values:
        if value is None:
            value = ""
        if not isinstance(value, str):
            at = f"{where.rpartition('.')[0]}.column"
            raise InputError(_not_text(value, f"the column {column!r} of {place!r}", at))
        if not is_text(value):
            what = f"the column {column!r} of {place!r} has a text with half a surrogate pair"
            remedy = "write it again as UTF-8, e.g. text.encode('utf-8', 'replace')"
            raise InputError(Problem(where, what, remedy))
        texts.append(value)
    return texts


def _not_text(value: Any, column: str, at: str) -> Problem:
    """Return the problem of a column that holds something else than texts."""
    rows = _objects(value)
    if rows:
        if CHAT & set(rows[0]):
            what = f"{column} holds lists of messages, not text"
            remedy = (
                "write each conversation as one text (apply_chat_template), and name its column"
            )
            return Problem(at, what, remedy)
        what = f"{column} holds lists of objects, not text"
        if rows is not value:
            what = f"{column} holds objects with {', '.join(map(str, rows[0]))}, not text"
            return Problem(at, what, "write the text itself as a column, and name it")
        return Problem(at, what, "write them as JSON lines, one object in each line")

    what = f"{column} holds {type(value).__name__}, not text: {str(value)[:40]}"
    return Problem(at, what, "name a column of texts")
