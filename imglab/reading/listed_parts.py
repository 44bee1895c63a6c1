"""Parts that lists tell apart: train.txt and test.txt of paths, or a column that names splits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from imglab.reading.lists import FileList
from imglab.reading.parts import Layout, Part, names_of
from imglab.reading.row_splits import COLUMNS, plain_column, split_of_cell
from imglab.reading.splits import (
    Role,
    role_and_subject,
    split_role,
    test_role,
    without_unions,
)
from imglab.reading.summary import LeftOut


@dataclass(frozen=True)
class ListedParts:
    """The split of each file that lists name, and what names it.

    lists  that name it
    note   a short phrase
    """

    roles: Mapping[Path, Role]
    lists: tuple[FileList, ...]
    note: str


def split_by_lists(layout: Layout, lists: Sequence[FileList]) -> tuple[Layout, set[Path]]:
    """Return how a folder is read with the parts that lists name, and the lists that were read.

    Nothing is done where folders tell the parts apart, and where lists name less than half of the
    files, or none of a class folder, or put some into both parts, which is said.
    """
    if layout.test is not None:
        return layout, set()
    files = layout.train.files
    notes = []
    for parts in _candidates(lists):
        chosen = test_role(parts.roles.values())
        listed = [path for path in files if path in parts.roles]
        why_not = _why_not(parts, layout.train, listed)
        if why_not:
            notes.append(why_not)
            continue
        train, test = (
            _only(layout.train, role, [path for path in listed if parts.roles[path] == role])
            for role in ("train", chosen)
        )
        if not train.files or not test.files:
            continue
        rest = [path for path in files if parts.roles.get(path) not in ("train", chosen)]
        left_out = layout.left_out
        if rest:
            left_out = (*left_out, LeftOut("files", "of neither part", tuple(rest)))
        note = f"{parts.note}; {chosen} is the test part"
        missing = sum(each.missing for each in parts.lists)
        if missing:
            note += f"; {missing:,} rows name files that are missing"
        read = {each.path for each in parts.lists}
        divided = replace(
            layout, train=train, test=test, left_out=left_out, notes=(*layout.notes, note)
        )
        return divided, read
    return replace(layout, notes=(*layout.notes, *notes[:1])), set()


def _why_not(parts: ListedParts, whole: Part, listed: Sequence[Path]) -> str:
    """Say why a folder is not divided by lists; "" where it may be.

    Files of a class folder that is wholly left out would not be known to be a class.

    listed  those of its files that the lists name
    """
    if not parts.roles:
        return parts.note
    if 2 * len(listed) < len(whole.files):
        return f"{parts.note}: only {len(listed):,} of {len(whole.files):,}, so no split"
    if whole.labels is None:
        return ""

    read = ("train", test_role(parts.roles.values()))
    classes = dict(zip(whole.files, whole.labels, strict=True))
    dropped = set(whole.labels) - {classes[path] for path in listed if parts.roles[path] in read}
    if dropped:
        return f"{parts.note}: none of the class {min(dropped)!r}, so no split"
    return ""


def _candidates(lists: Sequence[FileList]) -> list[ListedParts]:
    """Return the parts that lists may name, those first that a person more likely means.

    These are lists whose names have few other words, as train.txt rather than cat_train.txt, and
    that name more files; of several numbered ones, as train1.txt and train2.txt, the first.
    """
    by_name = []
    groups: dict[tuple[Path, tuple[str, ...], tuple[str, ...]], list[FileList]] = {}
    for each in lists:
        role, subject = role_and_subject(each.path.stem)
        if role is not None:
            numbers = tuple(re.findall(r"\d+", each.path.stem))
            groups.setdefault((each.path.parent, subject, numbers), []).append(each)
    for (_, subject, numbers), group in groups.items():
        parts = _by_names(group)
        if parts is not None:
            by_name.append(((len(subject), -len(parts.roles), numbers), parts))

    by_column = [parts for parts in map(_by_column, lists) if parts is not None]
    return [*by_column, *(parts for _, parts in sorted(by_name, key=lambda pair: pair[0]))]


def _by_names(group: Sequence[FileList]) -> ListedParts | None:
    """Return the parts of lists that are named after them; None without a training part."""
    names = {each.path.name: role_and_subject(each.path.stem)[0] for each in group}
    role_of = without_unions(names, names)
    if "train" not in role_of.values() or len(set(role_of.values()) - {None}) < 2:
        return None

    used = tuple(each for each in group if role_of[each.path.name] is not None)
    shown = names_of([each.path for each in used])
    roles: dict[Path, Role] = {}
    for each in used:
        role = role_of[each.path.name]
        for path in each.rows:
            if role is not None and roles.setdefault(path, role) != role:
                return ListedParts({}, used, f"{shown} list some files twice, so no split")
    return ListedParts(roles, used, f"parts are listed in {shown}")


def _by_column(each: FileList) -> ListedParts | None:
    """Return the parts that a column of a list names; None unless it is training and another."""
    columns = columns_of(each)
    for column in COLUMNS:
        names = [name for name in columns if plain_column(name) == column]
        if not names:
            continue
        roles = _roles(names[0], each.values(columns.index(names[0])))
        if "train" in roles.values() and len(set(roles.values())) > 1:
            note = f"parts are named in {each.path.name}"
            if each.columns:
                note = f"parts are named in {names[0]!r} of {each.path.name}"
            return ListedParts(roles, (each,), note)
    return None


def columns_of(each: FileList) -> list[str]:
    """Return the names of the columns of a list; that of a single one may be that of the list."""
    columns = list(each.columns)
    if columns or len(next(iter(each.rows.values()))[0]) != 1:
        return columns
    column = plain_column(each.path.stem)
    if "partition" in column.split("_"):
        column = "partition"
    if column in COLUMNS:
        return [column]
    return []


def _roles(column: str, values: Mapping[Path, Iterable[str]]) -> dict[Path, Role]:
    """Return the split that each file's cells name, if they name one."""
    roles: dict[Path, Role] = {}
    for path, cells in values.items():
        named = {split_role(str(split_of_cell(column, cell))) for cell in cells}
        (role,) = named if len(named) == 1 else (None,)
        if role is not None:
            roles[path] = role
    return roles


def _only(part: Part, name: str, files: Sequence[Path]) -> Part:
    """Return a part with these of its files, under another name."""
    labels = None
    if part.labels is not None:
        of_file = dict(zip(part.files, part.labels, strict=True))
        labels = tuple(of_file[path] for path in files)
    return Part(name, part.folder, tuple(files), labels)
