"""Captions of the images in a folder: a table as in `datasets`, or a text beside each image."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imglab.errors import InputError, Problem
from imglab.failures import raise_if_unavailable
from imglab.images.caption_rows import (
    NAMES,
    OTHER_NAMES,
    Row,
    UnreadableRows,
    caption_key,
    columns_without_files,
    decode,
    parse_row,
    read_rows,
    split_of,
)
from imglab.images.captioned_images import CaptionedImages
from imglab.images.source_settings import CaptionedFolderSource
from imglab.reading import Failure, Layout, LeftOut, as_problems, split_role, test_role
from imglab.reading.parts import names_of
from imglab.safe_text import is_text, one_line

METADATA = NAMES[0]
REMEDY = (
    'a line {"file_name": ..., "text": ...} for each image, or a .txt file beside each; '
    "or use kind: folder"
)

MOST = 5
"""Problems of one folder that are reported, at most."""

JSON = (".json", ".jsonl")
"""Suffixes of files that can hold a list of captions in one row."""

TABLES = (*JSON, ".csv", ".tsv", ".parquet")
"""Suffixes of files that may hold captions under a name that is not known."""

BESIDE = (".txt", ".caption")
BOX = re.compile(r"\d+(?:[ \t]+-?[\d.]+(?:e-?\d+)?){4,}[ \t]*")
"""A number and at least four coordinates, which say where an object is in an image."""

LONGEST_CAPTION = 1 << 16
"""Bytes of a text file that is a caption."""


@dataclass
class Captions:
    """Captions of images.

    parts    image -> caption for each part, sorted by path
    files    files that hold them
    without  images without a caption, where some may lack it
    notes    what a person should know of the reading, each a short phrase
    splits   image -> what its row calls its split
    others   images of other splits than the parts
    """

    parts: list[dict[Path, str]] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    without: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    splits: dict[Path, str] = field(default_factory=dict)
    others: list[LeftOut] = field(default_factory=list)


def read_captions(
    root: Path, layout: Layout, source: CaptionedFolderSource, where: str
) -> Captions:
    """Return the images of a folder's parts with their captions.

    Raises InputError, at the config's key `where`, for a file that cannot be read, a row without a
    file name or a caption, a path that leads out of the folder, a path that names no image, an
    image that is named twice, and more images without a caption than `source.tolerate`.
    """
    captions = Captions(files=caption_tables(layout.others))
    texts, problems = _read_tables(captions, layout, source.caption, where)
    lacking = "has no caption file beside it"
    if captions.files:
        lacking = f"has no caption in {captions.files[0].name}"
    else:
        texts = _read_beside(captions, layout, where)

    for part in (layout.train, layout.test):
        if part is not None:
            captions.parts.append({path: texts[path] for path in part.files if path in texts})
            captions.without += [path for path in part.files if path not in texts]
    if layout.test is None and source.splits == "auto":
        _split_by_rows(captions)
    if not any(captions.parts) and not captions.without and not problems:
        problems.append(Problem(where, f"{str(root)!r} holds no image", "expected .png, .jpg, ..."))
    if not captions.files and not problems:
        what = f"{str(root / METADATA)!r} cannot be read: there is no such file"
        remedy = REMEDY
        others = [path for path in layout.others if path.suffix.lower() in TABLES]
        if others:
            what += f"; of another name, and not read: {names_of(others)}"
            remedy = f"{_renamed(others[0])}, or write {REMEDY}"
        raise InputError(Problem(where, what, remedy))

    if len(captions.without) > source.tolerate or not all(captions.parts):
        failures = [Failure(path, lacking) for path in captions.without]
        remedy = "add its caption"
        if all(captions.parts):
            remedy += ", or set modality.source.tolerate"
        problems += as_problems(failures, where, remedy)
    if problems:
        raise InputError(_first_problems(problems, where))
    return captions


def _renamed(path: Path) -> str:
    """Return what makes a table of another name one that is read."""
    name = f"metadata{path.suffix.lower()}"
    if name in NAMES:
        return f"rename it to {name}"
    return f"save it as {METADATA}"


def _split_by_rows(captions: Captions) -> None:
    """Divide the images where their rows name splits, of which one is for training.

    Without a test part, the validation part is for testing.
    """
    (whole,) = captions.parts
    roles = {path: split_role(captions.splits.get(path, "")) for path in whole}
    if "train" not in roles.values() or len(set(roles.values()) - {None}) < 2:
        return

    chosen = test_role(roles.values())
    captions.parts = [
        {path: text for path, text in whole.items() if roles[path] == role}
        for role in ("train", chosen)
    ]
    others = tuple(path for path in whole if roles[path] not in ("train", chosen))
    if others:
        captions.others.append(LeftOut("files", "of other splits", others))
    captions.notes.append(f"the rows name their split; {chosen} is the test part")


def caption_tables(files: Iterable[Path]) -> list[Path]:
    """Return those files that hold captions, one for each folder that has any."""
    names = (*NAMES, *OTHER_NAMES)
    by_folder: dict[Path, list[Path]] = {}
    for path in files:
        if path.name.lower() in names:
            by_folder.setdefault(path.parent, []).append(path)
    return [
        min(paths, key=lambda path: names.index(path.name.lower())) for paths in by_folder.values()
    ]


def _read_tables(
    captions: Captions, layout: Layout, key: str, where: str
) -> tuple[dict[Path, str], list[Problem]]:
    """Return image -> caption of all rows that are valid, and the problems of the others."""
    texts: dict[Path, str] = {}
    problems: list[Problem] = []
    several = 0
    images = CaptionedImages(layout)
    for path in captions.files:
        rows = _rows(path, where)
        key_of_file = caption_key(rows, key)
        if key_of_file != key:
            captions.notes.append(f"captions are the column {key_of_file!r} of {path.name}")
        of_file: dict[Path, list[str]] = {}
        for row in rows:
            try:
                image, of_image = _parse(row, key_of_file, path.parent, images)
                if image in texts or (image in of_file and path.suffix.lower() in JSON):
                    raise ValueError(f"{image.name!r} is listed twice; make its captions a list")
            except (ValueError, RecursionError) as error:
                problems.append(Problem(f"{path}, line {row.number}", str(error)))
            else:
                of_file[image] = [*of_file.get(image, []), *of_image]
                captions.splits[image] = split_of(row)

        # A table, as that of Flickr8k, has a row for each of several captions.
        texts.update({image: of_image[0] for image, of_image in of_file.items() if of_image})
        several += sum(len(of_image) > 1 for of_image in of_file.values())
    if several:
        captions.notes.append(f"{several:,} with several captions, of which the first is used")
    return texts, problems


def _rows(path: Path, where: str) -> list[Row]:
    """Return the rows of a file; InputError where it has none, or none of them names a file."""
    try:
        rows = read_rows(path)
    except UnreadableRows as error:
        raise InputError(Problem(where, str(error), REMEDY)) from error

    columns = columns_without_files(rows)
    if columns:
        what = f"{str(path)!r} has no column of file names; its columns are "
        what += ", ".join(map(repr, columns[:4]))
        remedy = "name the columns in the first line, e.g. file_name,text"
        raise InputError(Problem(where, one_line(what), remedy))
    return rows


def _parse(row: Row, key: str, folder: Path, images: CaptionedImages) -> tuple[Path, list[str]]:
    name, texts = parse_row(row, key)
    return images.find(folder, name), texts


def _read_beside(captions: Captions, layout: Layout, where: str) -> dict[Path, str]:
    """Return image -> caption of the texts that lie beside images, under the same name."""
    # Suffixes may be in any case.
    others = {path.with_suffix(path.suffix.lower()): path for path in reversed(layout.others)}
    texts = {}
    failures = []
    parts = [part for part in (layout.train, layout.test) if part is not None]
    for image in (path for part in parts for path in part.files):
        beside = [image.with_suffix(suffix) for suffix in BESIDE]
        beside += [image.with_name(image.name + suffix) for suffix in BESIDE]
        path = next((others[each] for each in beside if each in others), None)
        if path is None:
            continue
        captions.files.append(path)
        try:
            text = " ".join(_read_text(path).split())
        except (OSError, ValueError) as error:
            raise_if_unavailable(error, path)
            failures.append(Failure(path, f"cannot be read as a caption: {error}"))
            continue
        if text:
            texts[image] = text

    if failures:
        raise InputError(as_problems(failures, where, "write the caption into it, in UTF-8"))
    if texts:
        captions.notes.append("captions are text files beside the images")
    return texts


def _read_text(path: Path) -> str:
    if not path.is_file():
        raise ValueError("it is not a regular file")
    if path.stat().st_size > LONGEST_CAPTION:
        raise ValueError(f"it is longer than {LONGEST_CAPTION:,} bytes")
    text = decode(path.read_bytes())
    if are_boxes(text):
        raise ValueError("it holds boxes of objects, as YOLO does; use kind: folder")
    if not is_text(text):
        raise ValueError("it contains half a surrogate pair")
    return text


def are_boxes(text: str) -> bool:
    """Say whether a text beside an image says where objects are in it, as YOLO does."""
    lines = [line for line in text.splitlines() if line.strip()]
    return bool(lines) and all(map(BOX.fullmatch, lines))


def _first_problems(problems: Sequence[Problem], where: str) -> list[Problem]:
    """Return the first problems, and how many more there are."""
    more = len(problems) - MOST
    if more <= 0:
        return list(problems)
    return [*problems[:MOST], Problem(where, f"{more} more problems like these")]
