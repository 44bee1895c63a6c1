"""Classes that lists name: a column of labels, one-hot columns, or a number after each path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imglab.failures import raise_if_unavailable
from imglab.reading.listed_parts import columns_of
from imglab.reading.lists import FileList
from imglab.reading.parts import names_of
from imglab.reading.row_splits import COLUMNS, SWITCHES, plain_column
from imglab.reading.splits import role_and_subject

CLASS_COLUMNS = (
    *("label", "labels", "class", "class_name", "classname", "category", "category_name"),
    *("label_name", "species", "breed", "target", "class_id", "classid", "category_id", "label_id"),
)
"""Names of columns of classes, in lower case, the preferred one first."""

CLASS_WORDS = frozenset({"class", "classes", "label", "labels", "annotation", "annotations"})
"""Words in the name of a list whose rows are a path and a class."""

NAME_FILES = frozenset(
    {"classes", "class", "names", "labels", "categories", "label_names", "class_names", "obj"}
)
"""Names of files that name the classes, in lower case; others end so, as style_class.txt."""

FEWEST_FLAGS = 3
"""Columns of 0 and 1 that are classes."""

MOST_BYTES = 1 << 20
MOST_YAML = 1 << 16
"""Size of a file that names classes; YAML is read slowly."""


@dataclass(frozen=True)
class ListedClasses:
    """What lists say of the classes of files.

    name     of the lists, for people
    classes  of each file that they name
    paths    of the lists
    """

    name: str
    classes: Mapping[Path, set[str]]
    paths: tuple[Path, ...]

    def lacking(self, files: Iterable[Path]) -> list[Path]:
        """Return those of the files that have no class here, or several."""
        return [path for path in files if len(self.classes.get(path, ())) != 1]


def listed_classes(lists: Sequence[FileList], others: Iterable[Path]) -> list[ListedClasses]:
    """Return what lists say of classes; those that only a part of the files has are joined."""
    names = class_names_in(others)
    groups: dict[tuple[tuple[str, ...], str], list[tuple[FileList, dict[Path, set[str]]]]] = {}
    for each in lists:
        column, classes = _classes(each)
        if classes:
            role, subject = role_and_subject(each.path.stem)
            if role is None:
                subject = (each.path.name,)
            groups.setdefault((subject, column), []).append((each, classes))

    listed = []
    for group in groups.values():
        joined: dict[Path, set[str]] = {}
        for _, classes in group:
            for path, labels in classes.items():
                joined.setdefault(path, set()).update(labels)
        paths = tuple(each.path for each, _ in group)
        name = names_of([Path(name) for name in dict.fromkeys(path.name for path in paths)])
        listed.append(ListedClasses(name, with_names(joined, names), paths))
    return listed


def with_names(classes: Mapping[Path, set[str]], names: Mapping[str, str]) -> dict[Path, set[str]]:
    """Return the classes by their names, where each of them is a number that has one."""
    numbers = set().union(*classes.values())
    if not numbers <= names.keys():
        return dict(classes)
    return {path: {names[number] for number in labels} for path, labels in classes.items()}


def _classes(each: FileList) -> tuple[str, dict[Path, set[str]]]:
    """Return the column of classes of a list, and the classes; none where it has none."""
    columns = {plain_column(name): number for number, name in enumerate(columns_of(each))}
    for name in CLASS_COLUMNS:
        if name in columns:
            return name, each.values(columns[name])
    if columns:
        return "", _one_hot(each)

    role, subject = role_and_subject(each.path.stem)
    if role is None and not CLASS_WORDS & set(subject):
        return "", {}
    labels = {path: {_label(row) for row in rows if row} for path, rows in each.rows.items()}
    flags = {"-1", "0", "1"}
    if subject and set().union(*labels.values()) <= flags and not CLASS_WORDS & set(subject):
        return "", {}  # whether an image shows what the list is called after
    if not any(set().union(*labels.values())):
        return "", {}
    return "", {path: of_file - {""} for path, of_file in labels.items()}


def _label(row: Sequence[str]) -> str:
    """Return the class in the cells after a path: a name of some words, or the first cell."""
    if any(any(map(str.isalpha, cell)) for cell in row[1:]):
        return " ".join(row)
    if len(row) > 1 and not row[0].isdecimal() and len(row) == 2:
        return " ".join(row)
    return row[0]


def _one_hot(each: FileList) -> dict[Path, set[str]]:
    """Return the names of the columns that have a 1, where all are flags; else none.

    Two columns may as well say whether an image was checked, and whether it is turned.
    """
    columns = [
        number for number, name in enumerate(each.columns) if plain_column(name) not in COLUMNS
    ]
    if len(columns) < FEWEST_FLAGS or any(not each.columns[number] for number in columns):
        return {}
    labels: dict[Path, set[str]] = {}
    for path, rows in each.rows.items():
        for row in rows:
            cells = [row[number].lower() if number < len(row) else "" for number in columns]
            if not set(cells) <= SWITCHES.keys():
                return {}
            ones = [
                each.columns[n] for n, cell in zip(columns, cells, strict=True) if SWITCHES[cell]
            ]
            labels.setdefault(path, set()).update(ones)
    return labels


def class_names_in(others: Iterable[Path]) -> dict[str, str]:
    """Return the names of classes by their numbers, as classes.txt and data.yaml give them.

    A line is a number and a name, or the name of the class that its place from 0 on is.
    """
    for path in others:
        suffix = path.suffix.lower()
        last = plain_column(path.stem).rpartition("_")[2]
        is_named = path.stem.lower() in NAME_FILES or last in ("class", "classes")
        if suffix in (".yaml", ".yml"):
            names = _of_yaml(_text(path))
        elif (is_named and suffix in (".txt", "")) or suffix == ".names":
            names = _of_lines(_text(path))
        else:
            continue
        if names:
            return names
    return {}


def _text(path: Path) -> str:
    try:
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            return ""
        return path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise_if_unavailable(error, path)
        return ""


def _of_lines(text: str) -> dict[str, str]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    pairs = [line.split(maxsplit=1) for line in lines]
    if all(len(pair) == 2 and pair[0].isdecimal() for pair in pairs):
        return {pair[0]: pair[1] for pair in pairs}
    return {str(number): line for number, line in enumerate(lines)}


def _of_yaml(text: str) -> dict[str, str]:
    """Return the names in the description of a data set of YOLO."""
    if "names" not in text or len(text) > MOST_YAML:
        return {}
    from yaml import YAMLError, safe_load

    try:
        tree = safe_load(text)
    except (YAMLError, ValueError, RecursionError):
        return {}
    names = None
    if isinstance(tree, dict):
        names = tree.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not all(isinstance(each, str) for each in names.values()):
        return {}
    return {str(number): name for number, name in names.items()}
