"""Tables of captions: which files they are, and the caption of each image."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imglab.errors import InputError, Problem
from imglab.images.caption_rows import (
    NAMES,
    OTHER_NAMES,
    Row,
    UnreadableRows,
    caption_columns,
    columns_without_files,
    parse_row,
    split_of,
)
from imglab.images.captioned_images import CaptionedImages, NoImage
from imglab.images.captions_beside import CaptionFiles
from imglab.images.source_settings import CaptionedFolderSource
from imglab.reading import Columns, Layout, LeftOut
from imglab.reading.summary import EXAMPLES
from imglab.safe_text import one_line

METADATA = NAMES[0]
REMEDY = (
    'a line {"file_name": ..., "text": ...} for each image, or a .txt file beside each; '
    "or use kind: folder"
)

JSON = (".json", ".jsonl")
"""Suffixes of files that can hold a list of captions in one row."""


@dataclass
class Captions:
    """Captions of images.

    layout   the folder, divided by names of files where neither folders nor rows divide it
    parts    image -> caption for each part, sorted by path
    files    files that hold them
    without  images without a caption, where some may lack it
    notes    what a person should know of the reading, each a short phrase
    splits   image -> what its row calls its split
    others   images of other splits than the parts, and rows of images that are missing
    columns  of each table
    missing  names of images that rows have and the folder has not
    """

    layout: Layout
    parts: list[dict[Path, str]] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    without: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    splits: dict[Path, str] = field(default_factory=dict)
    others: list[LeftOut] = field(default_factory=list)
    columns: list[Columns] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def divide(self, texts: Mapping[Path, str], layout: Layout) -> None:
        """Take the captions of each part of a folder, and the images that have none."""
        self.layout = layout
        parts = [part.files for part in (layout.train, layout.test) if part is not None]
        self.parts = [{path: texts[path] for path in files if path in texts} for files in parts]
        self.without = [path for files in parts for path in files if path not in texts]


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


def read_tables(
    captions: Captions,
    layout: Layout,
    source: CaptionedFolderSource,
    where: str,
    files: CaptionFiles,
) -> tuple[dict[Path, str], list[Problem]]:
    """Return image -> caption of all rows that are valid, and the problems of the others."""
    texts: dict[Path, str] = {}
    problems: list[Problem] = []
    several = 0
    lacking: list[tuple[Path, list[str], int, bool]] = []
    images = CaptionedImages(layout)
    for path in captions.files:
        rows = _rows(path, where, files)
        columns = caption_columns(rows, source.caption)
        captions.columns.append(columns)
        if columns.read != source.caption:
            captions.notes.append(f"captions are the column {columns.read!r} of {path.name}")
        of_file, missing, of_rows = _of_rows(path, rows, columns, images, captions, texts)
        problems += of_rows

        # A table, as that of Flickr8k, has a row for each of several captions.
        texts.update({image: of_image[0] for image, of_image in of_file.items() if of_image})
        several += sum(len(of_image) > 1 for of_image in of_file.values())
        if missing:
            captions.missing += missing
            captions.others.append(LeftOut("rows", "their images are missing", (), len(missing)))
            lacking.append((path, missing, len(rows), bool(of_file)))
    if several:
        captions.notes.append(f"{several:,} with several captions, of which the first is used")

    # What is tolerated is counted over all tables, with the images that have no caption.
    parts = [part for part in (layout.train, layout.test) if part is not None]
    without = sum(image not in texts for part in parts for image in part.files)
    needed = len(captions.missing) + without
    for path, missing, count, some in lacking:
        if len(captions.missing) > source.tolerate or not some:
            problems.append(_missing(path, missing, count, images, needed if some else None))
    return texts, problems


def _of_rows(
    path: Path,
    rows: Sequence[Row],
    columns: Columns,
    images: CaptionedImages,
    captions: Captions,
    earlier: Collection[Path],
) -> tuple[dict[Path, list[str]], list[str], list[Problem]]:
    """Return the captions of each image, names of images that are missing, and problems.

    earlier  images that other files name
    """
    of_file: dict[Path, list[str]] = {}
    missing: list[str] = []
    problems = []
    for row in rows:
        try:
            image, of_image = _parse(row, columns.read, path.parent, images)
            if image in earlier or (image in of_file and path.suffix.lower() in JSON):
                raise ValueError(f"{image.name!r} is listed twice; make its captions a list")
        except NoImage as error:
            missing.append(error.name)
        except (ValueError, RecursionError) as error:
            problems.append(Problem(f"{path}, line {row.number}", str(error)))
        else:
            of_file[image] = [*of_file.get(image, []), *of_image]
            captions.splits[image] = split_of(row, columns.split)
    return of_file, missing, problems


def _missing(
    path: Path, names: Sequence[str], count: int, images: CaptionedImages, needed: int | None
) -> Problem:
    """Return the problem of rows whose images are not in the folder.

    count   rows of the file
    needed  what has to be tolerated to leave the rows out; None where no row has its image
    """
    examples = ", ".join(map(repr, names[:EXAMPLES]))
    what = f"{len(names):,} of {count:,} rows name images that are missing, e.g. {examples}"
    remedy = f"looked in {str(path.parent)!r} and, by name, in all of {str(images.root)!r}: "
    remedy += "correct the names or add the images"
    if needed is not None:
        remedy += f", or set modality.source.tolerate to {needed} or more to leave the rows out"
    return Problem(str(path), one_line(what), remedy)


def _rows(path: Path, where: str, files: CaptionFiles) -> list[Row]:
    """Return the rows of a file; InputError where it has none, or none of them names a file."""
    try:
        rows = files.rows(path)
    except UnreadableRows as error:
        raise InputError(Problem(where, str(error), REMEDY)) from error

    columns = columns_without_files(rows)
    if columns:
        what = f"{str(path)!r} has no column of file names; its columns are "
        what += ", ".join(map(repr, columns[:4]))
        remedy = "name the columns in the first line, file_name and text, parted as the others are"
        raise InputError(Problem(where, one_line(what), remedy))
    return rows


def _parse(row: Row, key: str, folder: Path, images: CaptionedImages) -> tuple[Path, list[str]]:
    name, texts = parse_row(row, key)
    return images.find(folder, name), texts
