"""Images in tables of parquet, and texts and images in data sets of the hub."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imglab.errors import InputError, Problem, first_line, nearest
from imglab.failures import raise_if_unavailable
from imglab.images.hub_images import COLUMNS, hub_roots, read_image_rows, stored_rows
from imglab.studies.score.named import HUB, Named
from imglab.text.folders import TextFiles
from imglab.training.hub import load_hub

TEXT = "text"
"""Usual name of a column of text."""


@dataclass(frozen=True)
class Table:
    """A column of a table, by part: texts, or images as arrays uint8 [H, W] or [H, W, 3].

    train, test  rows of the two parts; test is None if there is one part only
    is_images    whether the rows are images
    notes        what was left out
    """

    train: list[Any]
    test: list[Any] | None = None
    is_images: bool = False
    notes: list[str] = field(default_factory=list)


def holds_images(path: Path, column: str | None) -> bool:
    """Say whether a parquet file holds images, as `datasets` stores them.

    column  to look at; None: the usual ones
    """
    schema = _schema(path)
    for name in [column] if column is not None else COLUMNS:
        if name in schema.names and {"bytes", "path"} <= _fields(schema.field(name).type):
            return True
    return False


def _schema(path: Path) -> Any:
    """Return the schema of a parquet file."""
    from pyarrow import parquet

    return parquet.read_schema(path)


def _fields(kind: Any) -> set[str]:
    """Return the names of the fields of a column's type; none of a plain one."""
    from pyarrow import types

    if not types.is_struct(kind):
        return set()
    return {field.name for field in kind}


def read_image_tables(
    named: Named, files: TextFiles, column: str | None, size: int | None
) -> Table:
    """Read the images in parquet files, by part."""
    parts = [files.train]
    if files.test is not None:
        parts.append(files.test)
    values = [
        [value for path in paths for value in _column_of_file(named, path, column)]
        for paths in parts
    ]
    table = _table(named, values, size)
    table.notes.extend(f"{named.text}: left out: {each}" for each in files.left_out)
    return table


def _column_of_file(named: Named, path: Path, column: str | None) -> list[Any]:
    from pyarrow import ArrowException, parquet

    try:
        key = _column(named, column, _schema(path).names, COLUMNS)
        values: list[Any] = parquet.read_table(path, columns=[key]).column(key).to_pylist()
    except (ArrowException, OSError) as error:
        raise_if_unavailable(error, path)
        what = f"cannot be read as parquet: {first_line(error)}"
        raise InputError(Problem(str(path), what)) from error
    return values


def read_hub(named: Named, column: str | None, size: int | None) -> Table:
    """Read a data set of the hub; without a split its parts `train` and `test` are read."""
    name, split = _hub_name(named.text)
    if not name:
        raise InputError(Problem(named.role, "names no data set", "hub:owner/name[:split]"))
    loaded = load_hub(name, split=split, where=named.role)
    if split is not None:
        return _table(named, [_hub_column(named, loaded, column)], size)

    splits = [part for part in ("train", "test") if part in loaded] or list(loaded)[:1]
    columns = [_hub_column(named, loaded[part], column) for part in splits]
    table = _table(named, columns, size)
    others = [part for part in loaded if part not in splits]
    if others:
        table.notes.append(f"{named.text}: splits left out: {', '.join(others)}")
    return table


def _hub_name(text: str) -> tuple[str, str | None]:
    name, sign, split = text.removeprefix(HUB).rpartition(":")
    if not sign:
        return split, None
    return name, split


def _hub_column(named: Named, rows: Any, column: str | None) -> list[Any]:
    return stored_rows(rows, _column(named, column, rows.column_names))


def _column(
    named: Named, column: str | None, names: Sequence[str], usual: Sequence[str] = (TEXT, *COLUMNS)
) -> str:
    """Return the column to read: the one asked for, or the first of the usual ones."""
    if column is not None:
        if column not in names:
            what = f"{named.text!r} has no column {column!r}"
            raise InputError(Problem("--column", what, nearest(column, names)))
        return column
    for name in usual:
        if name in names:
            return name
    what = f"{named.text!r} has no column {TEXT!r} or 'image'"
    raise InputError(Problem("--column", what, f"one of: {', '.join(names)}"))


def _table(named: Named, parts: list[list[Any]], size: int | None) -> Table:
    """Make texts or images of the values of one or two parts."""
    first = next((value for part in parts for value in part if value is not None), "")
    is_images = isinstance(first, dict)
    notes: list[str] = []
    if is_images:
        read = [_images(named, part, size) for part in parts]
    else:
        read = [_texts(named, part, notes) for part in parts]
    return Table(read[0], read[1] if len(read) > 1 else None, is_images, notes)


def _texts(named: Named, values: list[Any], notes: list[str]) -> list[Any]:
    wrong = [row for row, value in enumerate(values) if not isinstance(value, str | None)]
    if wrong:
        what = f"row {wrong[0]} of {named.text!r} is not a text"
        raise InputError(Problem(named.role, what, "choose another --column"))
    texts = [value for value in values if value is not None and value.strip()]
    notes += _blank_note(named, len(values) - len(texts))
    return texts


def _images(named: Named, values: Iterable[Any], size: int | None) -> list[Any]:
    roots = hub_roots(named.text.removeprefix(HUB)) if named.kind == "hub" else []
    return read_image_rows(values, size, of=named.text, roots=roots)


def _blank_note(named: Named, blank: int) -> list[str]:
    if not blank:
        return []
    return [f"{named.text}: {blank:,} rows without text left out"]
