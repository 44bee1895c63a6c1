"""Groups of images, such as the people in them, which a column of a table names beside classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from imglab.errors import InputError, Problem, nearest
from imglab.images.image_formats import is_image
from imglab.images.labelled import SourceImages
from imglab.reading import list_tree
from imglab.reading.lists import FileList, read_lists
from imglab.safe_text import one_line

WHERE = "modality.groups"

NO_GROUP = "none"
"""The group of images whose cell is blank, and of those without a row."""

EXAMPLES = 6
"""Columns, and groups with their sizes, that a message names."""


@dataclass(frozen=True)
class GroupColumn:
    """What a column says of images: the group of each that has one, and the tables that say so."""

    group_of: Mapping[Path, str]
    tables: Sequence[Path]


def with_groups(images: SourceImages, root: Path, column: str) -> SourceImages:
    """Number the groups that a column of the tables in a folder names.

    images  read from the folder, with the path of each
    column  of a table that names the images, as `file_name` does in `metadata.csv`

    An image without a row, or with a blank cell, is of the group `none`. Raises InputError for a
    column that no table has, for an image of several groups, for one group alone, and for a column
    that tells most images apart.
    """
    read = _read_column(root, images.paths, column)
    left_out = [
        replace(each, paths=tuple(path for path in each.paths if path not in read.tables))
        for each in images.left_out
    ]
    images = replace(images, left_out=tuple(each for each in left_out if each.count))

    names = [read.group_of.get(path, NO_GROUP) for path in images.paths]
    tables = ", ".join(dict.fromkeys(path.name for path in read.tables))
    return grouped(images, names, f"{column!r} of {tables}")


def grouped(images: SourceImages, names: Sequence[str], where_read: str) -> SourceImages:
    """Return images with the groups of these names, the training images first.

    Raises InputError where they are no groups: one alone, or nearly one for each image.
    """
    sizes = Counter(names)
    if len(sizes) < 2:
        what = f"all images are of one group, {names[0]!r}, in {where_read}"
        raise InputError(Problem(WHERE, what, "name a column that tells images apart"))
    if 2 * len(sizes) > len(names):
        what = f"{where_read} has {len(sizes):,} values for {len(names):,} images: no groups"
        raise InputError(Problem(WHERE, what, "name a column that several images share"))

    groups = tuple(sorted(sizes))
    numbers = {name: number for number, name in enumerate(groups)}
    of_images = torch.tensor([numbers[name] for name in names])
    train = replace(images.train, groups=of_images[: len(images.train)])
    test = images.test
    if test is not None:
        test = replace(test, groups=of_images[len(images.train) :])

    shown = [f"{name} {count:,}" for name, count in sizes.most_common(EXAMPLES)]
    if len(sizes) > EXAMPLES:
        shown.append("...")
    note = one_line(f"{len(sizes)} groups in {where_read}: {', '.join(shown)}")
    return replace(images, train=train, test=test, groups=groups, notes=(*images.notes, note))


def _read_column(root: Path, images: Sequence[Path], column: str) -> GroupColumn:
    lists, unread = _lists(root, images)
    having = [each for each in lists if column in each.columns]
    if not having:
        raise InputError(_no_column(column, lists, unread))

    groups: dict[Path, set[str]] = {}
    for each in having:
        for path, values in each.values(each.columns.index(column)).items():
            groups.setdefault(path, set()).update(values)
    several = sorted(path for path, values in groups.items() if len(values) > 1)
    if several:
        shown = " and ".join(sorted(groups[several[0]])[:2])
        what = f"{several[0].name} is of several groups in {column!r}: {shown}"
        raise InputError(Problem(WHERE, one_line(what), "give each image one group"))

    group_of = {path: min(values) for path, values in groups.items() if values}
    return GroupColumn(group_of, [each.path for each in having])


def _lists(root: Path, images: Sequence[Path]) -> tuple[list[FileList], list[str]]:
    """Return the tables that name images, and why others cannot be read.

    The names in a table are those of images of its own folder or, where none is, of the whole root.
    """
    others = [path for path in list_tree(root, WHERE).files if not is_image(path)]
    by_folder: dict[Path, list[Path]] = {}
    for path in others:
        by_folder.setdefault(path.parent, []).append(path)

    lists: list[FileList] = []
    for folder, tables in by_folder.items():
        beside = [path for path in images if folder in path.parents]
        if beside and folder != root:
            lists += read_lists(folder, beside, tables)[0]
    read = {each.path for each in lists}
    of_root, unread = read_lists(root, images, [path for path in others if path not in read])
    return [*lists, *of_root], unread


def _no_column(column: str, lists: Sequence[FileList], unread: Sequence[str]) -> Problem:
    """Say that no table has the column; `unread` says why some tables are not read."""
    columns = list(dict.fromkeys(name for each in lists for name in each.columns if name))
    what = f"there is no column {column!r}; there are {', '.join(columns[:EXAMPLES])}"
    remedy = nearest(column, columns)
    if not columns:
        what = f"no table in the folder names the images, so there is no column {column!r}"
        remedy = f"write metadata.csv with the columns file_name and {column}"
    return Problem(WHERE, one_line("; ".join([what, *unread[:1]])), one_line(remedy))
