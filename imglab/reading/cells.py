"""Rows of cells in files of several forms: words parted by spaces, tables, and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from imglab.failures import raise_if_unavailable
from imglab.reading.splits import split_role
from imglab.reading.tables import delimiter_of, without_hint

JSON = (".json", ".jsonl")
SUFFIXES = (".txt", ".csv", ".tsv", ".lst", ".list", *JSON)
"""Of files that may be lists, in lower case."""

MOST_BYTES = 1 << 26
MOST_JSON = 1 << 24
"""Size of a file that is read, which has a million rows, and of one of JSON."""


def cells_of(path: Path, most: int = MOST_BYTES) -> list[list[str]]:
    """Return the rows of a file as cells, without blank ones; none of a file that has none.

    most  bytes that are read of other files than JSON; a row that they cut off is left out
    """
    suffix = path.suffix.lower()
    largest = MOST_BYTES
    if suffix in JSON:
        largest = MOST_JSON
        most = MOST_JSON + 1
    try:
        if not path.is_file() or path.stat().st_size > largest:
            return []
        with path.open("rb") as file:
            content = file.read(most)
        if len(content) == most:
            content = content[: content.rfind(b"\n") + 1]
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError, MemoryError) as error:
        raise_if_unavailable(error, path)
        return []

    if "\0" in text:
        return []
    if suffix in JSON:
        return _of_json(text)
    return [row for row in _rows(without_hint(text), suffix) if any(row)]


def _rows(text: str, suffix: str) -> Iterator[list[str]]:
    """Yield rows whose cells are parted as in a table, or else by spaces."""
    first = text.lstrip()[:1000].partition("\n")[0]
    if suffix in (".csv", ".tsv") or "\t" in first or "," in first:
        try:
            for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter_of(text)):
                yield [cell.strip() for cell in row]
        except csv.Error:
            return
    else:
        for line in text.splitlines():
            yield line.removeprefix("#").split()


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
        return _of_objects(tree)
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
    """Return the plain values of objects, below a row of their names."""
    names = [name for name, value in objects[0].items() if isinstance(value, str | int | float)]
    return [names, *([str(each.get(name, "")) for name in names] for each in objects)]
