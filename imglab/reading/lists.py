"""Files with a row for each of many others: lists of paths, and tables of what is in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from imglab.failures import raise_if_unavailable
from imglab.reading.cells import SUFFIXES, UnreadableCells, beginning_of, cells_of
from imglab.reading.named_files import NamedFiles
from imglab.reading.names import NUMBERED, Names
from imglab.reading.splits import ABOUT

MOST_LISTS = 200
MOST_TOGETHER = 1 << 27
"""Files that are looked into in one folder, and their bytes."""

PLAIN = (".txt", ".lst", ".list")
"""Suffixes of lists whose cells are parted by spaces, in lower case."""

HEAD = 1 << 16
"""Bytes by which it is seen whether a file lists others."""

FIRST = 30
"""Rows by which it is seen which column names the files."""

FILE_COLUMNS = frozenset(
    {
        *("file_name", "filename", "file", "image", "image_path", "path", "img", "filepath"),
        *("image_name", "image_file", "image_id", "img_path", "id", "name", "img_name"),
    }
)
"""Names of columns of files, in lower case."""


Find = Callable[[str], Path | None]
"""Returns the file of a name; None if there is none, or it is not clear which one."""


@dataclass(frozen=True)
class FileList:
    """A list of files, with what else its rows hold.

    columns  names of the cells beside that of the file; () where the list does not name them
    rows     cells beside that of the file, by the file; of several rows for one file all of them
    missing  rows, but the first ones, whose file is not there
    """

    path: Path
    columns: tuple[str, ...]
    rows: Mapping[Path, Sequence[tuple[str, ...]]]
    missing: int = 0

    def values(self, column: int) -> dict[Path, set[str]]:
        """Return what the rows of each file have in a column, without blanks."""
        return {
            path: {row[column] for row in rows if column < len(row) and row[column]}
            for path, rows in self.rows.items()
        }


def read_lists(
    root: Path, files: Sequence[Path], others: Iterable[Path]
) -> tuple[list[FileList], list[str]]:
    """Return those of the others that list files, sorted by their depth and name, and notes.

    The notes name those that cannot be read to their end, and are left out.

    A list names its files in one column, by path or name, with its suffix or without. The folders
    in its names must be those of the files, unless they are in no row: the files were moved then,
    and go by their names alone. Beside one that numbers its files, as images.txt of CUB-200 does,
    others may name them by these numbers.
    """
    candidates = _candidates(files, others)
    names = _Finders(root, files)
    lists = []
    notes = []
    numbered: dict[Path, dict[str, Path]] = {}
    unread = []
    for path in candidates:
        try:
            table, column, find = _table(path, names)
        except UnreadableCells as error:
            notes.append(_not_read(path, error))
            continue
        if column is None:
            unread.append((path, table))
            continue
        rows = [_find(find, row, column) for row in table]
        lists.append(_listed(path, table, column, rows))
        if column == 1 and len({row[0] for row in table}) == len(table):
            pairs = zip(table, rows, strict=True)
            numbered[path.parent] = {row[0]: file for row, file in pairs if file is not None}

    for path, head in unread:
        try:
            lists += _by_number(path, head, numbered.get(path.parent, {}))
        except UnreadableCells as error:
            notes.append(_not_read(path, error))
    return lists, notes


def _not_read(path: Path, error: UnreadableCells) -> str:
    return f"{path.name} is not read, since {error}"


def _by_number(
    path: Path, head: Sequence[Sequence[str]], numbers: Mapping[str, Path]
) -> list[FileList]:
    """Return the list, if it names all its files by the numbers that another one gives them.

    head  its first rows
    """
    if not head or any(row[0] not in numbers for row in head):
        return []
    table = cells_of(path)
    if not table or any(row[0] not in numbers for row in table):
        return []
    return [_listed(path, table, 0, [numbers[row[0]] for row in table])]


def _candidates(files: Iterable[Path], others: Iterable[Path]) -> list[Path]:
    """Return files that may be lists, within bounds: those that lie the least deep first.

    A text of the name of a file is of this one alone, and a licence lists none.
    """
    stems = {path.stem for path in files}
    several = [
        path
        for path in others
        if path.suffix.lower() in SUFFIXES
        and (path.suffix.lower() not in PLAIN or path.stem.lower() not in ABOUT)
    ]
    room = MOST_TOGETHER
    candidates: list[Path] = []
    for path in sorted(several, key=lambda path: (len(path.parts), path)):
        if path.stem in stems or len(candidates) == MOST_LISTS:
            continue
        try:
            size = path.stat().st_size
        except OSError as error:
            raise_if_unavailable(error, path)
            continue
        if size <= room:
            room -= size
            candidates.append(path)
    return candidates


class _Finders:
    """Ways to find the files of a folder by what a list calls them, the strictest first."""

    def __init__(self, root: Path, files: Sequence[Path]) -> None:
        self._placed = NamedFiles(root, files)
        self._loose = Names(root, files)

    def of(self, path: Path) -> tuple[Find, Find]:
        """Return those for a list at `path`: by name with folders, and by name alone."""

        def placed(name: str) -> Path | None:
            return self._placed.find(NUMBERED.sub("", name), path.parent)

        return placed, self._loose.find


def _table(path: Path, finders: _Finders) -> tuple[list[list[str]], int | None, Find]:
    """Return the rows of a file, the column that names files, and what finds them; None: none does.

    What lists no files is seen by its beginning, and not read to its end. UnreadableCells where
    the rest of a list cannot be read, or names its files elsewhere.
    """
    head = beginning_of(path, HEAD)
    for find in finders.of(path):
        column = _file_column(head, find)
        has_spaces = column is None and path.suffix.lower() in PLAIN
        if has_spaces:
            column = _file_column(_with_spaces(head, find), find)
        if column is not None:
            break
    else:
        return head, None, find

    table = cells_of(path)
    for find in finders.of(path):
        rows = table
        if has_spaces:
            rows = _with_spaces(table, find)
        if any(_find(find, row, column) is not None for row in rows):
            return rows, column, find
    raise UnreadableCells("its rows are not as those that it begins with")


def _file_column(table: Sequence[Sequence[str]], find: Find) -> int | None:
    """Return the column that names files in at least half of the first rows; None if none does.

    Numbers of classes may be names of files as well, but the same ones again and again.
    """
    rows = table[:FIRST]
    width = max((len(row) for row in rows), default=0)
    different: dict[int, int] = {}
    for column in range(width):
        files = [file for row in rows if (file := _find(find, row, column)) is not None]
        if 0 < len(rows) <= 2 * len(files):
            different[column] = len(set(files))
    called = [
        column
        for column in different
        if column < len(rows[0]) and rows[0][column].lower() in FILE_COLUMNS
    ]
    return max(called or different, key=lambda each: (different[each], -each), default=None)


def _with_spaces(table: Sequence[Sequence[str]], find: Find) -> list[list[str]]:
    """Return rows of words as names of files that hold spaces, which a class may follow."""
    rows = []
    for row in table:
        whole = " ".join(row)
        if find(whole) is None and len(row) > 1:
            rows.append([" ".join(row[:-1]), row[-1]])
        else:
            rows.append([whole])
    return rows


def _find(find: Find, row: Sequence[str], column: int) -> Path | None:
    if column >= len(row):
        return None
    return find(row[column])


def _listed(
    path: Path, table: Sequence[Sequence[str]], column: int, files: Sequence[Path | None]
) -> FileList:
    """Return a list of files; a row before the first one that names a file names the columns."""
    first = next(number for number, file in enumerate(files) if file is not None)
    at = _header(table, column, files, first)
    columns: tuple[str, ...] = ()
    if at is not None:
        header = list(table[at])
        if len(header) == len(table[first]):
            del header[column]
        if len(header) == len(table[first]) - 1:
            columns = tuple(header)

    rows: dict[Path, list[tuple[str, ...]]] = {}
    for file, row in zip(files, table, strict=True):
        if file is not None:
            rows.setdefault(file, []).append((*row[:column], *row[column + 1 :]))
    begin = 0
    if at is not None:
        begin = at + 1
    missing = sum(file is None for file in files[begin:])
    return FileList(path, columns, rows, missing)


def _header(
    table: Sequence[Sequence[str]], column: int, files: Sequence[Path | None], first: int
) -> int | None:
    """Return which row before the first file names the columns; None if none does.

    Whatever is called as the files are, by their suffix or by a number, is a file that is missing.
    """
    suffixes = {file.suffix.lower() for file in files if file is not None}
    suffixes |= {PurePath(row[column]).suffix.lower() for row in table[first : first + 1]}
    has_numbers = table[first][column].isdecimal()
    header = None
    for number, row in enumerate(table[:first]):
        cell = "".join(row[column : column + 1])
        if cell.lower() in FILE_COLUMNS:
            return number
        is_number = has_numbers and cell.isdecimal()
        if not is_number and PurePath(cell).suffix.lower() not in suffixes - {""}:
            header = number
    return header
