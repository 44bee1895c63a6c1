"""Rows of people's files: JSON lines, tables, parquet."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from imglab.errors import InputError, Problem, first_line
from imglab.failures import raise_if_unavailable
from imglab.reading import delimiter_of, split_column, split_columns, split_of_cell, without_hint
from imglab.text.columns import (
    FIRST,
    Documents,
    check_no_images,
    check_texts,
    columns_of,
)
from imglab.text.forms import in_its_place
from imglab.text.group_columns import group_names

LONGEST_CELL = 1 << 32
"""Characters that a cell of a table may have."""


def objects(text: str, path: Path, where: str) -> list[dict[str, Any]]:
    """Return the rows of JSON lines, or of one JSON list; a row that is a text is its `text`.

    One object that fills several lines is a row, too.
    """
    number = 0
    try:
        if text.lstrip().startswith("["):
            rows = json.loads(text)
        else:
            rows = []
            for line in text.split("\n"):
                number += 1
                if line.strip():
                    rows.append(json.loads(line))
    except (ValueError, RecursionError) as error:
        if number:
            row = _one_object(text)
            if row is not None:
                return [row]
        place = str(path)
        if number:
            place = f"{path}:{number}"
        what = f"{place!r} is not JSON lines: {first_line(error)}"
        remedy = "one object in each line"
        if number == 1:
            remedy += f", e.g. jq -c . {shlex.quote(path.name)} > NEW.jsonl{in_its_place(path)}"
        raise InputError(Problem(where, what, remedy)) from error

    rows = [{"text": row} if isinstance(row, str) else row for row in rows]
    if not all(isinstance(row, dict) for row in rows):
        what = f"{str(path)!r} holds JSON that is not an object in each line"
        raise InputError(Problem(where, what, 'e.g. {"text": "..."}'))
    return rows


def _one_object(text: str) -> dict[str, Any] | None:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(row, dict):
        return row
    return None


def table(text: str, kind: str, path: Path, where: str) -> list[dict[str, Any]]:
    """Return the rows of a table whose first line names the columns."""
    text = without_hint(text)
    separator = delimiter_of(text)
    if kind == ".tsv":
        separator = "\t"
    csv.field_size_limit(LONGEST_CELL)
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        what = f"{str(path)!r} is not a table: {first_line(error)}"
        raise InputError(Problem(where, what, "write it with a CSV library")) from error

    if any(None in row for row in rows):
        what = f"{str(path)!r} has rows with more cells than it has columns"
        raise InputError(Problem(where, what, "put texts in quotes"))
    return rows


def read_parquet(
    path: Path, where: str, column: str | None, *, group: str | None = None
) -> Documents:
    """Return the texts of a parquet file; `group` names the column of their groups."""
    with _readable_parquet(path, where):
        import pyarrow.parquet as parquet

        names, examples = _head_of_parquet(path)
        if column is None:
            check_no_images(examples, str(path), where)
        columns = columns_of(names, examples, column, str(path), where, group=group)

        # Only what holds the text and names split and group is read, whatever else is there.
        wanted = dict.fromkeys([columns.read, *split_columns(names)])
        if group is not None:
            wanted[group] = None
        table = parquet.read_table(path, columns=list(wanted)).to_pydict()
    texts = check_texts(table[columns.read], columns.read, str(path), where)
    split = split_column(names, table.__getitem__)
    splits = [split_of_cell(split, value) for value in table.get(split, [""] * len(texts))]
    groups = None
    if group is not None:
        groups = group_names(table[group], group, str(path))
    return Documents(texts, splits, (replace(columns, split=str(split or "")),), groups)


def _head_of_parquet(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the names of the columns, and the first rows."""
    import pyarrow.parquet as parquet

    first = next(parquet.ParquetFile(path).iter_batches(batch_size=FIRST), None)
    examples: list[dict[str, Any]] = []
    if first is not None:
        examples = first.to_pylist()
    return parquet.read_schema(path).names, examples


@contextmanager
def _readable_parquet(path: Path, where: str) -> Iterator[None]:
    """Raise InputError, at the config's key `where`, where parquet cannot be read."""
    try:
        import pyarrow
    except ImportError as error:
        what = "parquet is read with the package `pyarrow`"
        raise InputError(Problem(where, what, "pip install 'imglab-collapse[hub]'")) from error

    try:
        yield
    except (pyarrow.ArrowException, OSError) as error:
        raise_if_unavailable(error, path)
        what = f"{str(path)!r} is not readable parquet: {first_line(error)}"
        raise InputError(Problem(where, what)) from error
