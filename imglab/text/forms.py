"""Files that are no text, or text in another form, and what makes text of them."""

from __future__ import annotations

import json
import re
import shlex
from codecs import BOM_UTF8
from pathlib import Path

from imglab.errors import InputError, Problem

CONTROL = rb"[\0-\x08\x0e-\x1f]"
"""Bytes that no text has."""

FORMS = {
    rb"BZh[1-9]1AY&SY": ("packed by bzip2", "bunzip2 -c < {file} > {new}"),
    rb"\xfd7zXZ\0": ("packed by xz", "xz -dc < {file} > {new}"),
    rb"\x28\xb5\x2f\xfd": ("packed by zstd", "zstd -dc < {file} > {new}"),
    rb"PK\x03\x04": (
        "a zip archive, as DOCX, ODT and EPUB are",
        "unpack it, or pandoc -t plain {file} -o NEW.txt",
    ),
    rb"%PDF-": ("PDF", "pdftotext {file} NEW.txt"),
    rb"\{\\rtf": ("RTF", "pandoc -t plain {file} -o NEW.txt"),
    rb"\xd0\xcf\x11\xe0": ("an old file of Office", "soffice --convert-to txt {file}"),
    rb"(?s)PAR1.*" + CONTROL: ("parquet", "rename it to {stem}.parquet"),
    rb"(?s)\x89PNG|\xff\xd8\xff|GIF8.*\0": ("a picture", "give a folder of images, or a text"),
    rb"(?s)\s*(?i:<!doctype html|<html)": (
        "a web page",
        "pandoc -f html -t plain {file} -o NEW.txt",
    ),
    rb"\s*<(?:\?xml|mediawiki)": ("XML", "take the texts out of it into .txt files"),
}
"""What a file is by its first bytes, and what makes text of it."""

AS_IT_STANDS = "to read it as it stands, write <|endoftext|> into a line before it"
"""What makes a text of plain text that would be taken for another form: the end of one before."""

PACKED = (".bz2", ".xz", ".zst")

FIRST = 1 << 10
"""Bytes that are looked at."""

LINES = 3
"""Lines of JSON that make a plain file one of JSON lines."""


def check_form(content: bytes, path: Path, where: str, *, is_plain: bool) -> None:
    """Raise InputError, at the config's key `where`, for a file of another form than text.

    is_plain  whether it is read as plain text, not as rows
    """
    head = content[:FIRST].removeprefix(BOM_UTF8)
    for begins, (what, remedy) in FORMS.items():
        if not re.match(begins, head):
            continue

        # A packed file may lack the suffix without which unpackers pass over it.
        suffix = path.suffix
        if suffix.lower() in PACKED:
            suffix = Path(path.stem).suffix
        shown = remedy.format(
            file=shlex.quote(path.name), stem=path.stem, new=f"NEW{suffix or '.txt'}"
        )
        if "NEW" in shown and path.suffix.lower() not in PACKED:
            shown += in_its_place(path)
        if is_plain and not re.search(CONTROL, head) and _is_utf8(content):
            shown += f"; {AS_IT_STANDS}"
        raise InputError(Problem(where, f"{str(path)!r} is {what}, not text", shown))


def in_its_place(path: Path) -> str:
    """Say, after a command that makes a new file of one that is not read, that the latter goes."""
    return f", and put it in the place of {path.name}, since both would be read"


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def check_plain(text: str, path: Path, where: str) -> None:
    """Raise InputError for a plain file of JSON: braces and quotes are not what is meant."""
    lines = [line for line in text[: 1 << 20].split("\n") if line.strip()][:LINES]
    if len(lines) == LINES and all(map(_is_object, lines)):
        suffix = "jsonl"
    elif re.match(r"\s*\[\s*\{", text[:FIRST]) and _is_json(text):
        suffix = "json"
    else:
        return
    what = f"{str(path)!r} holds JSON, not plain text"
    remedy = f"rename it to {_renamed(path, suffix)}; {AS_IT_STANDS}"
    raise InputError(Problem(where, what, remedy))


def _renamed(path: Path, suffix: str) -> str:
    """Return the name of a file with another suffix; that of gzip, if it has it, stays."""
    if path.suffix.lower() == ".gz":
        return f"{Path(path.stem).stem}.{suffix}.gz"
    return f"{path.stem}.{suffix}"


def _is_object(line: str) -> bool:
    return line.lstrip().startswith("{") and _is_json(line)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
