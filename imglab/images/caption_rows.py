"""Rows of captions in the files that people have: JSON lines, CSV, and COCO's JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imglab.failures import raise_if_unavailable
from imglab.reading import delimiter_of
from imglab.safe_text import is_text

NAMES = ("metadata.jsonl", "metadata.csv", "metadata.tsv", "metadata.json")
"""Names of files that hold captions, in any case, the preferred one first."""

OTHER_NAMES = ("captions.jsonl", "captions.csv", "captions.tsv", "captions.json", "captions.txt")

FILE_KEYS = ("file_name", "filename", "file", "image", "image_path", "path", "img", "filepath")
"""Keys under which a row names its image, the preferred one first."""

CAPTION_KEYS = ("text", "caption", "captions", "prompt", "description", "sentence", "sentences")
"""Keys under which a row has its caption where the config leaves it open."""

QUOTE = 'put captions that hold the delimiter in quotes, as in a.png,"a cat, on a mat"'
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
    return content.decode(BYTE_ORDER_MARKS.get(content[:2], "utf-8-sig"))


def _json_lines(text: str) -> Iterator[Row]:
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


def _table(text: str) -> Iterator[Row]:
    """Yield the rows of a table whose first line names the columns."""
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter_of(text))
    for row in reader:
        if None in row:
            raise ValueError(f"line {reader.line_num} has more cells than the header: {QUOTE}")
        yield Row(reader.line_num, dict(row))


def caption_key(rows: Sequence[Row], key: str) -> str:
    """Return the key of the captions: the one asked for, or a usual one that the rows have."""
    keys = {name for row in rows if isinstance(row.values, dict) for name in row.values}
    if key in keys or key != CAPTION_KEYS[0]:
        return key
    return next((usual for usual in CAPTION_KEYS if usual in keys), key)


def caption_columns(rows: Sequence[Row]) -> tuple[str, list[str]]:
    """Return the key of the captions where the config leaves it open, and others that hold texts.

    Names of image files are not texts.
    """
    read = caption_key(rows, CAPTION_KEYS[0])
    others: dict[str, None] = {}
    for row in rows:
        for key, value in row.values.items() if isinstance(row.values, dict) else ():
            has_words = isinstance(value, str) and any(map(str.isalpha, value))
            if key not in (*FILE_KEYS, read) and (has_words or isinstance(value, list)):
                others[key] = None
    return read, list(others)


def parse_row(row: Row, key: str) -> tuple[str, list[str]]:
    """Return file name and captions, with single spaces; ValueError where one is missing."""
    if row.error:
        raise ValueError(row.error)
    values = row.values
    name = None
    if isinstance(values, dict):
        name = next((values[each] for each in FILE_KEYS if values.get(each) is not None), None)
    if not isinstance(name, str):
        raise ValueError("has no `file_name`")

    captions = values.get(key)
    if isinstance(captions, str):
        captions = [captions]
    if not isinstance(captions, list):
        captions = []
    texts = [" ".join(text.split()) for text in captions if isinstance(text, str) and text.strip()]
    if not texts:
        what = f"has no caption under {key!r}"
        others = [str(each) for each in values if each not in (*FILE_KEYS[:1], key)]
        if others:
            what = f"{what}; it has {', '.join(others)}"
        raise ValueError(what)

    if not all(map(is_text, texts)):
        raise ValueError("its caption contains half a surrogate pair, which UTF-8 cannot encode")
    return name, texts
