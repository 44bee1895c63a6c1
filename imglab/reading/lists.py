"""Files with a row for each of many others: lists of paths, and tables of what is in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from imglab.failures import raise_if_unavailable
from imglab.reading.cells import SUFFIXES, UnreadableCells, beginning_of, cells_of
from imglab.reading.named_files import NamedFiles
from imglab.reading.names import NUMBERED, Names, plain_name
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

    A list names its files in one column, by path or name, with its suffix or without. A name whose
    folders are not those of a file may stand for one that was moved (`_Finder.files`). Beside a
    list that numbers its files, as images.txt of CUB-200 does, others may name them by these
    numbers.
    """
    candidates = _candidates(files, others)
    finder = _Finder(root, files)
    lists = []
    notes = []
    numbered: dict[Path, dict[str, Path]] = {}
    unread = []
    for path in candidates:
        try:
            table, column = _table(path, finder)
        except UnreadableCells as error:
            notes.append(_not_read(path, error))
            continue
        if column is None:
            unread.append((path, table))
            continue
        rows = finder.files(table, column, path.parent)
        if not any(rows):
            notes.append(_not_read(path, "its rows name each file by several names"))
            continue
        lists.append(_listed(path, table, column, rows))
        numbered.setdefault(path.parent, {}).update(_numbers(table, column, rows))

    for path, head in unread:
        try:
            lists += _by_number(path, head, numbered.get(path.parent, {}))
        except UnreadableCells as error:
            notes.append(_not_read(path, error))
    return lists, notes


def _numbers(
    table: Sequence[Sequence[str]], column: int, files: Sequence[Path | None]
) -> dict[str, Path]:
    """Return the files by the number before each; none where that is no number of one alone."""
    if column != 1 or len({row[0] for row in table}) < len(table):
        return {}
    pairs = zip(table, files, strict=True)
    return {row[0]: file for row, file in pairs if file is not None}


def _not_read(path: Path, why: object) -> str:
    return f"{path.name} is not read, since {why}"


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


class _Finder:
    """Finds the files of a folder by what lists call them."""

    def __init__(self, root: Path, files: Sequence[Path]) -> None:
        self._placed = NamedFiles(root, files)
        self._loose = Names(root, files)

    def find(self, name: str, folder: Path) -> Path | None:
        """Return the file that a list in `folder` may mean, by its folders or its name alone."""
        return self._in_place(name, folder) or self._loose.find(name)

    def files(self, table: Sequence[Sequence[str]], column: int, folder: Path) -> list[Path | None]:
        """Return the file of each row, by its cell in a column.

        A name without the folders of a file stands for it only where no other name does: a row of
        a part that is missing must not be taken for a file of another part that is called alike.
        """
        names = [row[column] if column < len(row) else "" for row in table]
        placed = {name: self._in_place(name, folder) for name in set(names)}
        loose = {name: self._loose.find(name) for name, file in placed.items() if file is None}

        claimed = set(placed.values())
        meant: dict[Path, set[str]] = {}
        for name, file in loose.items():
            if file is not None:
                meant.setdefault(file, set()).add(plain_name(NUMBERED.sub("", name)))
        for name, file in loose.items():
            if file is not None and file not in claimed and len(meant[file]) == 1:
                placed[name] = file
        return [placed[name] for name in names]

    def _in_place(self, name: str, folder: Path) -> Path | None:
        return self._placed.find(NUMBERED.sub("", name), folder)


def _table(path: Path, finder: _Finder) -> tuple[list[list[str]], int | None]:
    """Return the rows of a file and the column that names files; None if none does.

    What lists no files is seen by its beginning, and not read to its end. UnreadableCells where
    the rest of a list cannot be read, or names its files elsewhere.
    """
    head = beginning_of(path, HEAD)
    column = _file_column(head, finder, path.parent)
    has_spaces = column is None and path.suffix.lower() in PLAIN
    if has_spaces:
        column = _file_column(_with_spaces(head, finder, path.parent), finder, path.parent)
    if column is None:
        return head, None

    table = cells_of(path)
    if has_spaces:
        table = _with_spaces(table, finder, path.parent)
    if all(column >= len(row) or finder.find(row[column], path.parent) is None for row in table):
        raise UnreadableCells("its rows are not as those that it begins with")
    return table, column


def _file_column(table: Sequence[Sequence[str]], finder: _Finder, folder: Path) -> int | None:
    """Return the column that names files in at least half of the first rows; None if none does.

    Of several it is one whose header says so, then one of whole names, with a suffix or folders,
    then the one that names most rows. Numbers of classes may be names of files too, but the same
    ones again and again.
    """
    rows = table[:FIRST]
    width = max((len(row) for row in rows), default=0)
    worth: dict[int, tuple[int, int, int, int]] = {}
    for column in range(width):
        names = [row[column] for row in rows if column < len(row)]
        files = {name: finder.find(name, folder) for name in names}
        likely = [name for name in names if files[name] is not None]
        whole = [name for name in likely if "/" in name or PurePath(name).suffix]
        if 0 < len(rows) <= 2 * len(likely):
            different = len({files[name] for name in likely})
            worth[column] = (len(whole), len(likely), different, -column)
    called = [
        column
        for column in worth
        if column < len(rows[0]) and rows[0][column].lower() in FILE_COLUMNS
    ]
    return max(called or worth, key=worth.__getitem__, default=None)


def _with_spaces(table: Sequence[Sequence[str]], finder: _Finder, folder: Path) -> list[list[str]]:
    """Return rows of words as names of files that hold spaces, which a class may follow."""
    rows = []
    for row in table:
        whole = " ".join(row)
        if finder.find(whole, folder) is None and len(row) > 1:
            rows.append([" ".join(row[:-1]), row[-1]])
        else:
            rows.append([whole])
    return rows


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
