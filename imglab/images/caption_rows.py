"""Rows of captions in the files that people have: JSON lines, CSV, and COCO's JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imglab.failures import raise_if_unavailable
from imglab.images.image_formats import is_image
from imglab.reading import (
    DELIMITERS,
    Columns,
    delimiter_of,
    has_words,
    split_column,
    split_of_cell,
    without_hint,
)
from imglab.safe_text import is_text

NAMES = ("metadata.jsonl", "metadata.csv", "metadata.tsv", "metadata.json")
"""Names of files that hold captions, in any case, the preferred one first."""

OTHER_NAMES = ("captions.jsonl", "captions.csv", "captions.tsv", "captions.json", "captions.txt")

FILE_KEYS = (
    *("file_name", "filename", "file", "image", "image_path", "path", "img", "filepath"),
    *("image_name", "image_file"),
)
"""Keys under which a row names its image, in any case, the preferred one first."""

CAPTION_KEYS = (
    *("text", "caption", "captions", "prompt", "description", "sentence", "sentences", "comment"),
)
"""Keys under which a row has its caption where the config leaves it open, in any case."""

BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
MOST_BYTES = 1 << 31


class UnreadableRows(Exception):
    """The file cannot be read as rows."""


@dataclass(frozen=True)
class Row:
    """A row of a file, as yet unchecked; `number` is its line, or its place in a list."""

    number: int
    values: Any
    error: str = ""


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a file; UnreadableRows where it has none."""
    try:
        if path.exists() and not path.is_file():  # reading a pipe would never end
            raise OSError("it is not a regular file")
        if path.stat().st_size > MOST_BYTES:
            raise OSError(f"it is larger than {MOST_BYTES:,} bytes")
        text = decode(path.read_bytes())

        suffix = path.suffix.lower()
        if suffix == ".jsonl":
            return list(_json_lines(text))
        if suffix == ".json":
            return [Row(number, row) for number, row in enumerate(_json_list(text), 1)]
        return list(_table(text))
    except (OSError, ValueError, MemoryError, RecursionError, csv.Error) as error:
        raise_if_unavailable(error, path)
        raise UnreadableRows(f"{str(path)!r} cannot be read: {error}") from error


def decode(content: bytes) -> str:
    """Return text in UTF-8, with or without a mark, or in UTF-16 with its mark."""
    try:
        text = content.decode(BYTE_ORDER_MARKS.get(content[:2], "utf-8-sig"))
    except UnicodeDecodeError as error:
        byte = f"byte {error.start} is 0x{error.object[error.start]:02x}"
        raise ValueError(f"it is not UTF-8: {byte}; save it as UTF-8") from error
    if "\0" in text:
        raise ValueError("it holds zero bytes, as UTF-16 does; save it as UTF-8")
    return text


def _json_lines(text: str) -> Iterator[Row]:
    if text.lstrip().startswith("["):
        yield from (Row(number, row) for number, row in enumerate(_json_list(text), 1))
        return
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield Row(number, json.loads(line))
        except (ValueError, RecursionError) as error:
            yield Row(number, None, str(error))


def _json_list(text: str) -> Sequence[Any]:
    """Return the rows of a JSON list, or of COCO's annotations: images, and captions by image."""
    tree = json.loads(text)
    if isinstance(tree, list):
        return tree
    if not isinstance(tree, dict):
        raise ValueError("it is neither a list of rows nor in the form of COCO")
    if tree and all(is_image(Path(name)) for name in tree) and all(map(_is_caption, tree.values())):
        return [{"file_name": name, "text": value} for name, value in tree.items()]

    try:
        captions: dict[Any, list[Any]] = {}
        for each in tree["annotations"]:
            captions.setdefault(each["image_id"], []).append(each["caption"])
        return [
            {"file_name": each["file_name"], "text": captions.get(each["id"], [])}
            for each in tree["images"]
        ]
    except (KeyError, TypeError) as error:
        raise ValueError("it is neither a list of rows nor in the form of COCO") from error


def _is_caption(value: Any) -> bool:
    """Say whether a value is a caption, or a list of some."""
    if isinstance(value, list) and value:
        return all(map(has_words, value))
    return has_words(value)


def _table(text: str) -> Iterator[Row]:
    """Yield the rows of a table whose first line names the columns."""
    text = without_hint(text)
    delimiter = delimiter_of(text)
    reader = csv.DictReader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True
    )
    for row in reader:
        if None in row:
            what = f"line {reader.line_num} has more cells than the header, parted by "
            what += f"{DELIMITERS[delimiter]}: put captions that hold one in quotes"
            raise ValueError(what)
        yield Row(reader.line_num, dict(row))


def _caption_key(rows: Sequence[Row], key: str) -> str:
    """Return the key of the captions: the one asked for, or a usual one that the rows have."""
    keys = {_plain(name): name for name in _keys_of(rows)}
    if key in keys.values() or key != CAPTION_KEYS[0]:
        return key
    return next((keys[usual] for usual in CAPTION_KEYS if usual in keys), key)


def columns_without_files(rows: Sequence[Row]) -> list[str]:
    """Return the keys of all rows where none of them names a file; none where one does."""
    keys = dict.fromkeys(map(str, _keys_of(rows)))
    if any(_plain(key) in FILE_KEYS for key in keys):
        return []
    return list(keys)


def columns_of_captions(path: Path, read: Callable[[Path], list[Row]]) -> tuple[bool, list[str]]:
    """Say whether a file may hold captions, and which columns it has.

    A table may describe the images in another way, with a class or a licence for each. One that
    cannot be read may hold captions, unless it is JSON of another form.

    read  returns the rows of a file
    """
    try:
        rows = read(path)
    except UnreadableRows:
        return path.suffix.lower() != ".json", []
    keys = dict.fromkeys(map(str, _keys_of(rows)))
    names_files = not columns_without_files(rows)
    return names_files and any(_plain(key) in CAPTION_KEYS for key in keys), list(keys)


def _keys_of(rows: Sequence[Row]) -> Iterator[Any]:
    """Yield the keys of each row that has any."""
    for row in rows:
        if isinstance(row.values, dict):
            yield from row.values


def _plain(key: Any) -> str:
    return str(key).strip().lower()


def caption_columns(rows: Sequence[Row], asked: str) -> Columns:
    """Return the key of the captions, others that hold texts, and that of splits.

    asked  by the config

    Names of image files and of splits are not texts.
    """
    read = _caption_key(rows, asked)
    of_objects = [row.values for row in rows if isinstance(row.values, dict)]
    split = split_column(_keys_of(rows), lambda key: (each.get(key) for each in of_objects))
    others: dict[str, None] = {}
    for values in of_objects:
        for key, value in values.items():
            is_text = has_words(value) or isinstance(value, list)
            if is_text and key not in (read, split) and _plain(key) not in FILE_KEYS:
                others[key] = None
    return Columns(read, tuple(others), str(split or ""))


def parse_row(row: Row, key: str) -> tuple[str, list[str]]:
    """Return file name and captions, with single spaces; ValueError where one is missing.

    A caption may be empty: it is then none.
    """
    if row.error:
        raise ValueError(row.error)
    values = row.values
    name = None
    if isinstance(values, dict):
        plain = {_plain(each): value for each, value in values.items() if value is not None}
        name = next((plain[each] for each in FILE_KEYS if each in plain), None)
    if not isinstance(name, str):
        raise ValueError("has no `file_name`")

    captions = values.get(key)
    is_empty = key in values and captions in (None, "", [])
    if isinstance(captions, str):
        captions = [captions]
    if not isinstance(captions, list):
        captions = []
    texts = [" ".join(text.split()) for text in captions if isinstance(text, str) and text.strip()]
    if not texts and not is_empty:
        what = f"has no caption under {key!r}"
        if key in values:
            what = f"has {str(values[key])[:40]!r} under {key!r}, which is not a text"
        others = [str(each) for each in values if each not in (*FILE_KEYS[:1], key)]
        if others:
            what = f"{what}; it has {', '.join(others)}"
        raise ValueError(what)

    if not all(map(is_text, texts)):
        raise ValueError("its caption contains half a surrogate pair, which UTF-8 cannot encode")
    return name.strip(), texts


def split_of(row: Row, column: str) -> str:
    """Return what a row calls its split in this column; "" where it names none."""
    if not isinstance(row.values, dict):
        return ""
    return str(split_of_cell(column, row.values.get(column, "")) or "")
