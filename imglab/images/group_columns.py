"""Groups of images, such as the people in them, which a column of a table names beside classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from imglab.errors import InputError, Problem, nearest
from imglab.groups.numbering import NO_GROUP, WHERE, check_groups, numbered, sizes_in_words
from imglab.images.image_formats import is_image
from imglab.images.labelled import SourceImages
from imglab.reading import list_tree
from imglab.reading.cells import UnreadableCells, cells_of
from imglab.reading.named_files import NamedFiles
from imglab.safe_text import one_line

TABLES = (".csv", ".tsv", ".json", ".jsonl")
"""Suffixes of tables that may have such a column, in lower case."""

FILE_COLUMNS = ("file_name", "filename", "file", "image", "path", "file_path", "image_path", "img")
"""Names of columns that name the image of a row, in lower case; the first one that a table has."""


@dataclass
class _Read:
    """What tables say of the images of a folder, as they are read one after the other.

    groups   of each image; an image of several is told
    tables   that have the column
    unnamed  rows whose image is not there, or is not clear
    columns  of all tables that name images
    unread   why other tables are not read
    """

    groups: dict[Path, set[str]] = field(default_factory=dict)
    tables: list[Path] = field(default_factory=list)
    unnamed: int = 0
    columns: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def with_groups(images: SourceImages, root: Path, column: str) -> SourceImages:
    """Number the groups that a column of the tables in a folder names.

    images  read from the folder, with the path of each
    column  of a table with a column `file_name`, or the like, which names the image of each row

    An image without a row, or with a blank cell, is of the group `none`. Raises InputError for a
    column that no table has, for an image of several groups, for one group alone, and for a column
    that names no groups.
    """
    read = _read_column(root, column)
    left_out = [
        replace(each, paths=tuple(path for path in each.paths if path not in read.tables))
        for each in images.left_out
    ]
    tables = ", ".join(dict.fromkeys(path.name for path in read.tables))
    notes = list(images.notes)
    if read.unnamed:
        notes.append(f"rows of {tables} that name no image, or several: {read.unnamed:,}")
    images = replace(
        images, left_out=tuple(each for each in left_out if each.count), notes=tuple(notes)
    )
    names = [min(read.groups.get(path) or {NO_GROUP}) for path in images.paths]
    return grouped(images, names, f"{column!r} of {tables}")


def grouped(images: SourceImages, names: Sequence[str], where_read: str) -> SourceImages:
    """Return images with the groups of these names, the training images first.

    Raises InputError where they are no groups (`check_groups`).
    """
    check_groups(names, where_read, of="images")
    groups = numbered(names)
    of_images = groups.numbers
    train = replace(images.train, groups=of_images[: len(images.train)])
    test = images.test
    if test is not None:
        test = replace(test, groups=of_images[len(images.train) :])

    notes = (*images.notes, sizes_in_words(names, where_read))
    return replace(images, train=train, test=test, groups=groups.names, notes=notes)


def in_use(images: SourceImages) -> SourceImages:
    """Leave out the groups that no image has any more, and number the others anew."""
    parts = [part for part in (images.train, images.test) if part is not None]
    if images.groups is None:
        return images
    present = torch.cat([part.groups for part in parts if part.groups is not None]).unique()
    numbers = torch.full((len(images.groups),), -1).scatter_(0, present, torch.arange(len(present)))
    train, test = (
        part and replace(part, groups=None if part.groups is None else numbers[part.groups])
        for part in (images.train, images.test)
    )
    assert train is not None
    groups = tuple(images.groups[number] for number in present.tolist())
    return replace(images, train=train, test=test, groups=groups)


def _read_column(root: Path, column: str) -> _Read:
    """Read the column from all tables in the folder."""
    files = list_tree(root, WHERE).files
    images = NamedFiles(root, [path for path in files if is_image(path)])
    read = _Read()
    for path in files:
        if path.suffix.lower() in TABLES:
            try:
                table = cells_of(path)
            except UnreadableCells as error:
                read.unread.append(f"{path.name} is not read, since {error}")
                continue
            _add_table(read, path, table, column, images)
    if not read.tables:
        raise InputError(_no_column(column, read))

    several = sorted(path for path, values in read.groups.items() if len(values) > 1)
    if several:
        shown = " and ".join(sorted(read.groups[several[0]])[:2])
        what = f"{several[0].name} is of several groups in {column!r}: {shown}"
        raise InputError(Problem(WHERE, one_line(what), "give each image one group"))
    return read


def _add_table(
    read: _Read, path: Path, table: Sequence[Sequence[str]], column: str, images: NamedFiles
) -> None:
    """Add what a table says; one without a column of files says nothing."""
    header = list(table[0]) if table else []
    lower = [name.lower() for name in header]
    file_column = next((lower.index(name) for name in FILE_COLUMNS if name in lower), None)
    if file_column is None:
        return
    read.columns += [name for place, name in enumerate(header) if place != file_column]
    if column not in header:
        return
    if header.index(column) == file_column:
        what = f"{column!r} of {path.name} names the images"
        raise InputError(Problem(WHERE, one_line(what), "name a column of groups"))
    read.tables.append(path)
    for number, row in enumerate(table[1:], 2):
        if any(row[len(header) :]):
            what = f"row {number} of {path.name} has more cells than there are columns"
            raise InputError(Problem(WHERE, what, "put texts with commas in quotes"))
        cells = [*row, *[""] * (len(header) - len(row))]
        image = images.find(cells[file_column], path.parent)
        if image is None:
            read.unnamed += 1
        elif cells[header.index(column)]:
            value = " ".join(cells[header.index(column)].split())
            read.groups.setdefault(image, set()).add(value)


def _no_column(column: str, read: _Read) -> Problem:
    """Say that no table has the column, and why some tables are not read."""
    columns = list(dict.fromkeys(filter(None, read.columns)))
    what = f"no table has a column {column!r}"
    remedy = nearest(column, columns)
    if not columns:
        what = f"no table with a column file_name is in the folder, and so no column {column!r}"
        remedy = f"write metadata.csv with the columns file_name and {column}"
    return Problem(WHERE, one_line("; ".join([what, *read.unread[:1]])), one_line(remedy))
