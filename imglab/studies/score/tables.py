"""Texts and images from tables: JSON lines, parquet, data sets of the hub."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imglab.errors import InputError, Problem, first_line, nearest
from imglab.failures import raise_if_unavailable
from imglab.images.image_files import UNREADABLE, read_image
from imglab.studies.score.named import HUB, Named
from imglab.text.corpus import load_hub, read_lines

TEXT = "text"
NAMED = 5
"""Rows that a message names."""


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


def read_jsonl(named: Named, column: str | None) -> Table:
    """Read the texts of JSON lines; InputError names the line that is not a row with the column."""
    key = column or TEXT
    texts: list[str] = []
    blank = 0
    for path in named.paths:
        for number, line in enumerate(read_lines(path, named.role), 1):
            if not line.strip():
                continue
            text = _text_of_line(line, key, f"{path}:{number}")
            texts += [text] if text.strip() else []
            blank += not text.strip()
    return Table(texts, notes=_blank_note(named, blank))


def _text_of_line(line: str, key: str, where: str) -> str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(Problem(where, f"is not JSON: {first_line(error)}")) from error
    if not isinstance(row, dict):
        raise InputError(Problem(where, "is not an object", 'e.g. {"text": "..."}'))
    if key not in row:
        remedy = f"--column: {nearest(key, row)}" if row else "--column NAME"
        raise InputError(Problem(where, f"has no column {key!r}", remedy))
    if not isinstance(row[key], str):
        raise InputError(Problem(where, f"{key!r} is not a text", "choose another --column"))
    return str(row[key])


def read_parquet(named: Named, column: str | None, size: int | None) -> Table:
    """Read texts, or images as `datasets` stores them, from parquet files."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        what = "parquet files are read with the package `pyarrow`"
        remedy = "pip install pyarrow, or save the data as JSON lines or image files"
        raise InputError(Problem(named.role, what, remedy)) from error

    values: list[Any] = []
    for path in named.paths:
        try:
            names = parquet.read_schema(path).names
            key = _column(named, column, names)
            values += parquet.read_table(path, columns=[key]).column(key).to_pylist()
        except (ArrowException, OSError) as error:
            raise_if_unavailable(error, path)
            what = f"cannot be read as parquet: {first_line(error)}"
            raise InputError(Problem(str(path), what)) from error
    return _table(named, [values], size)


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
    key = _column(named, column, rows.column_names)
    # As bytes, images are decoded with the same care as those of files.
    if type(rows.features[key]).__name__ == "Image":
        from datasets import Image

        rows = rows.cast_column(key, Image(decode=False))
    return list(rows[key])


def _column(named: Named, column: str | None, names: Sequence[str]) -> str:
    """Return the column to read: the one asked for, or `text`, `image` or `img`."""
    if column is not None:
        if column not in names:
            what = f"{named.text!r} has no column {column!r}"
            raise InputError(Problem("--column", what, nearest(column, names)))
        return column
    for usual in (TEXT, "image", "img"):
        if usual in names:
            return usual
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
    arrays = []
    problems = []
    for row, value in enumerate(values):
        try:
            arrays.append(read_image(_content(named, value), size))
        except UNREADABLE as error:
            what = f"row {row} cannot be read as an image: {first_line(error)}"
            problems.append(Problem(named.text, what, "remove or replace it"))
    if problems:
        raise InputError(problems)
    return arrays


def _content(named: Named, value: Any) -> Path | io.BytesIO:
    """Return where the bytes of an image are: in the table, or in a file beside a hub data set."""
    if value["bytes"] is not None:
        return io.BytesIO(value["bytes"])
    if named.kind != "hub":  # a table from a stranger must not name files of this machine
        raise ValueError("its bytes are not in the file")
    path = Path(value["path"]).resolve()
    if not any(root in path.parents for root in _roots_of_hub(named)):
        raise ValueError("its file lies outside the data set")
    return path


def _roots_of_hub(named: Named) -> list[Path]:
    """Return the folders in which a data set of the hub keeps files: its own, and the cache."""
    import datasets

    roots = [Path(datasets.config.HF_CACHE_HOME), Path(named.text.removeprefix("hub:"))]
    return [root.resolve() for root in roots]


def _blank_note(named: Named, blank: int) -> list[str]:
    if not blank:
        return []
    return [f"{named.text}: {blank:,} rows without text left out"]
