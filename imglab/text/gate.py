"""What is text: plain files, JSON lines, and tables with a column of texts."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from pathlib import Path
from typing import Any

from imglab.errors import InputError, Problem, first_line
from imglab.failures import raise_if_unavailable
from imglab.reading.splits import ABOUT
from imglab.text.columns import Documents, texts_of
from imglab.text.forms import check_form, check_plain
from imglab.text.group_columns import check_no_column
from imglab.text.rows import objects, read_parquet, table

MOST_BYTES = 1 << 32
"""Size that a text file may have: all of it is held in memory."""

MOST_UNPACKED = 1 << 28
"""Bytes to which a packed file may grow, whatever its ratio."""

LARGEST_RATIO = 100
"""Unpacked size over packed size of a larger one: gzip shrinks text to a third or a tenth."""

LINES = (".jsonl", ".ndjson", ".json")
TABLES = (".csv", ".tsv")
PARQUET = (".parquet",)
ROWS = (*LINES, *TABLES, *PARQUET)
"""Suffixes of files that hold a text in each row."""

PLAIN = ".txt"
ALSO_PLAIN = (".md", ".markdown", ".rst", ".text", ".tokens")
"""Suffixes of plain files that are read where a folder has no other texts."""

SEPARATOR = re.compile(r"""(?<![ \t"'`(])<\|endoftext\|>[ \t]*\n?|<\|endoftext\|>[ \t]*(?:\n|\Z)""")
"""What parts documents within a plain file, as in TinyStories: the mark in a line of its own, at
the end of one, or right after a text. A text may also speak of the mark."""

CODE = (
    *(".tex", ".py", ".js", ".ts", ".java", ".c", ".h", ".cc", ".cpp", ".hpp", ".cs", ".go", ".rs"),
    *(".rb", ".php", ".lua", ".pl", ".sh", ".r", ".jl", ".swift", ".kt", ".scala", ".hs", ".sql"),
)
"""Suffixes of programs and LaTeX, which are read where a folder has neither of the others."""

PART = 1 << 24
"""Bytes that are read at a time."""

GZIP = b"\x1f\x8b"


def kind_of(path: Path) -> str:
    """Return the suffix of a file in lower case, without that of compression."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def is_text(path: Path) -> bool:
    """Say whether a file is read as text, by its suffix."""
    return kind_of(path) in (PLAIN, *ROWS)


def is_also_text(path: Path) -> bool:
    """Say whether a file is read as text where a folder has no other texts, by its name."""
    return kind_of(path) in (*ALSO_PLAIN, *CODE) and path.stem.lower() not in ABOUT


def read_documents(
    path: Path,
    where: str,
    column: str | None = None,
    *,
    is_drawn: bool = False,
    group: str | None = None,
) -> Documents:
    """Return the documents in a file; InputError, at the config's key `where`, if it is not text.

    column    of the texts; None: the obvious one
    is_drawn  whether a model may have written them (`decode`)
    group     the column that names the group of each
    """
    kind = kind_of(path)
    if kind in PARQUET:
        return read_parquet(path, where, column, group=group)

    content = unpacked(path, where, is_drawn=is_drawn)
    if not is_drawn:
        check_form(content, path, where, is_plain=kind not in ROWS)
    text = decode(content, path, where, is_drawn=is_drawn)
    if kind in ROWS:
        return texts_of(_rows(text, kind, path, where), column, str(path), where, group=group)
    check_no_column(group, str(path))
    if not is_drawn:
        check_plain(text, path, where)
    return Documents.plain(SEPARATOR.split(text))


def _rows(text: str, kind: str, path: Path, where: str) -> list[dict[str, Any]]:
    """Return the rows of JSON lines or of a table."""
    if kind in LINES:
        return objects(text, path, where)
    return table(text, kind, path, where)


def unpacked(path: Path, where: str, *, is_drawn: bool = False) -> bytes:
    """Return the bytes of a file, decompressed if they are gzip's, within bounds.

    is_drawn  as for `decode`
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        what = f"{str(path)!r} is larger than {MOST_BYTES:,} bytes"
        raise InputError(Problem(where, what, "give a part of it"))

    with path.open("rb") as file:
        is_packed = file.read(len(GZIP)) == GZIP
        file.seek(0)
        if not is_packed:
            return _read(file, size, path, where, is_drawn)
        try:
            with gzip.open(file) as packed:
                most = min(MOST_BYTES, max(MOST_UNPACKED, LARGEST_RATIO * size))
                content = _read(packed, most + 1, path, where, is_drawn)
        except (OSError, EOFError, zlib.error) as error:
            raise_if_unavailable(error, path)
            what = f"{str(path)!r} is damaged gzip: {first_line(error)}"
            raise InputError(Problem(where, what)) from error
    if len(content) > most:
        what = f"{str(path)!r} would unpack to more than {most:,} bytes"
        raise InputError(Problem(where, what, "give a part of it, or unpack it"))
    return content


def _read(file: io.BufferedIOBase, most: int, path: Path, where: str, is_drawn: bool) -> bytes:
    """Return at most so many bytes of a file; InputError at once for a large one full of zeros.

    Files with holes have gigabytes of them, and take no room on a disk.
    """
    parts: list[bytes] = []
    size = 0
    zeros = 0
    while size < most:
        part = file.read(min(PART, most - size))
        if not part:
            break
        parts.append(part)
        size += len(part)

        zeros += part.count(0)
        if size > PART and zeros * 4 > size * is_drawn:
            what = f"{str(path)!r} holds zero bytes: {zeros:,} of its first {size:,}"
            raise InputError(Problem(where, what, "is it text? Remove them, or save it as UTF-8"))
    return b"".join(parts)


def decode(content: bytes, path: Path, where: str, *, is_drawn: bool = False) -> str:
    r"""Return the text of UTF-8 bytes, with `\n` at the end of each line, as Python reads files.

    is_drawn  whether a model may have written it: a few zero bytes are then its own
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = f"byte {error.start} is 0x{error.object[error.start]:02x}"
        what = f"{str(path)!r} is not UTF-8: {byte}"
        raise InputError(Problem(where, what, "save it as UTF-8")) from error

    nuls = text.count("\0")
    is_utf16 = nuls * 4 > len(text)
    if is_utf16 or (nuls and not is_drawn):
        first = text.index("\0")
        what = f"{str(path)!r} holds {nuls:,} zero bytes, the first at character {first:,}"
        remedy = "is it text? Remove them"
        if is_utf16:
            what += ", as UTF-16 does"
            remedy = "save it as UTF-8"
        raise InputError(Problem(where, what, remedy))
    return text.replace("\r\n", "\n").replace("\r", "\n")
