"""Rows of cells in files of several forms: words parted by spaces, tables, and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from imglab.errors import first_line
from imglab.failures import raise_if_unavailable
from imglab.reading.splits import split_role
from imglab.reading.tables import delimiter_of, without_hint

JSON = (".json", ".jsonl")
SUFFIXES = (".txt", ".csv", ".tsv", ".lst", ".list", *JSON)
"""Of files that may be lists, in lower case."""

MOST_BYTES = 1 << 26
MOST_JSON = 1 << 24
"""Size of a file that is read, which has a million rows, and of one of JSON."""


class UnreadableCells(Exception):
    """A file cannot be read as rows; the message is a short phrase."""


def beginning_of(path: Path, most: int) -> list[list[str]]:
    """Return the first rows of a file as cells, as far as they can be read; of JSON all rows.

    What is not UTF-8 is passed over: it is to be seen what the file would hold.

    most  bytes that are read of other files than JSON; a row that they cut off is left out
    """
    suffix = path.suffix.lower()
    if suffix in JSON:
        most = MOST_JSON + 1
    try:
        content = _content(path, most)
    except (OSError, MemoryError) as error:
        raise_if_unavailable(error, path)
        return []
    if len(content) == most:
        content = content[: content.rfind(b"\n") + 1]

    text = content.decode("utf-8-sig", errors="ignore").replace("\0", "")
    if suffix in JSON:
        return _of_json(text)
    rows = []
    try:
        for row in _rows(without_hint(text), suffix):
            rows.append(row)
    except csv.Error:
        return rows
    return rows


def cells_of(path: Path) -> list[list[str]]:
    """Return all rows of a file as cells, without blank ones; UnreadableCells where it has none."""
    suffix = path.suffix.lower()
    try:
        text = _content(path, MOST_BYTES).decode("utf-8-sig")
        if "\0" in text:
            raise UnreadableCells("it is not UTF-8: save it as UTF-8")
        if suffix in JSON:
            return _of_json(text)
        return list(_rows(without_hint(text), suffix))
    except UnicodeDecodeError as error:
        what = f"its byte {error.start:,} is not UTF-8: save it as UTF-8"
        raise UnreadableCells(what) from error
    except (OSError, MemoryError, csv.Error) as error:
        raise_if_unavailable(error, path)
        raise UnreadableCells(f"it is no table: {first_line(error)}") from error


def _content(path: Path, most: int) -> bytes:
    """Return what a file begins with; nothing of one that is too large to be read whole."""
    largest = MOST_BYTES
    if path.suffix.lower() in JSON:
        largest = MOST_JSON
    if not path.is_file() or path.stat().st_size > largest:
        return b""
    with path.open("rb") as file:
        return file.read(most)


def _rows(text: str, suffix: str) -> Iterator[list[str]]:
    """Yield rows that are not blank, whose cells are parted as in a table, or else by spaces."""
    first = text.lstrip()[:1000].partition("\n")[0]
    if suffix in (".csv", ".tsv") or "\t" in first or "," in first:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter_of(text)):
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield cells
    else:
        for line in text.splitlines():
            words = line.removeprefix("#").split()
            if words:
                yield words


def _of_json(text: str) -> list[list[str]]:
    """Return the rows of JSON lines, a list of objects, or an object that sorts names by a word."""
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        try:
            tree = [json.loads(line) for line in text.split("\n") if line.strip()]
        except (ValueError, RecursionError):
            return []

    if isinstance(tree, list) and tree and all(isinstance(row, dict) for row in tree):
        return [row for row in _of_objects(tree) if any(row)]
    if not isinstance(tree, dict) or not tree:
        return []
    if all(isinstance(names, list) for names in tree.values()):
        column = "label"
        if all(split_role(word) is not None for word in tree):
            column = "split"
        return [["file", column], *([str(name), word] for word in tree for name in tree[word])]
    if all(isinstance(word, str | int) for word in tree.values()):
        return [["file", "label"], *([name, str(word)] for name, word in tree.items())]
    return []


def _of_objects(objects: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return the plain values of objects, below a row of their names; null is a blank."""
    plain = [
        {name: value for name, value in each.items() if isinstance(value, str | int | float)}
        for each in objects
    ]
    names = list(dict.fromkeys(name for each in plain for name in each))
    return [names, *([str(each.get(name, "")) for name in names] for each in plain)]
