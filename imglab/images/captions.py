"""Captions of the images in a folder: a table as in `datasets`, or a text beside each image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
from imglab.images.captions_beside import CaptionFiles, read_beside, texts_of_images
from imglab.images.source_settings import CaptionedFolderSource
from imglab.reading import (
    Columns,
    Failure,
    Layout,
    LeftOut,
    as_problems,
    divided,
    note_on_others,
    split_by_files,
)
from imglab.reading.parts import names_of
from imglab.reading.summary import EXAMPLES
from imglab.safe_text import one_line

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


def read_captions(
    layout: Layout, source: CaptionedFolderSource, where: str, files: CaptionFiles
) -> Captions:
    """Return the images of a folder's parts with their captions.

    Raises InputError, at the config's key `where`, for a file that cannot be read, a row without a
    file name or a caption, a path that leads out of the folder, an image that is named twice, and
    more images without a caption, and rows without an image, than `source.tolerate`.
    """
    root = layout.tree.root
    captions = Captions(layout, files=caption_tables(layout.others))
    texts, problems = _read_tables(captions, layout, source, where, files)
    lacking = "has no caption file beside it"
    if captions.files:
        lacking = f"has no caption in {captions.files[0].name}"
    else:
        texts = _read_texts(captions, layout, where, files)

    _divide(captions, texts, layout, source, where)
    if not any(captions.parts) and not captions.without and not problems:
        problems.append(Problem(where, f"{str(root)!r} holds no image", "expected .png, .jpg, ..."))
    if not captions.files and not problems:
        what = f"{str(root / METADATA)!r} cannot be read: there is no such file"
        remedy = REMEDY
        others = [path for path in layout.others if path.suffix.lower() in TABLES]
        if others:
            what += f"; of another name, and not read: {names_of(others)}"
            remedy = f"{renamed(others[0])}, or write {REMEDY}"
        raise InputError(Problem(where, what, remedy))

    lacking_count = len(captions.without) + len(captions.missing)
    if lacking_count > source.tolerate or not all(captions.parts):
        failures = [Failure(path, lacking) for path in captions.without]
        remedy = "add its caption"
        if all(captions.parts):
            remedy += ", or set modality.source.tolerate"
        problems += as_problems(failures, where, remedy)
    if problems:
        raise InputError(_first_problems(problems, where))
    return captions


def _read_texts(
    captions: Captions, layout: Layout, where: str, files: CaptionFiles
) -> dict[Path, str]:
    """Return image -> caption of text files, beside the images or in a folder of their own."""
    parts = [part for part in (layout.train, layout.test) if part is not None]
    images = [path for part in parts for path in part.files]
    of_images = texts_of_images(layout.tree.root, images, layout.others, files)
    captions.files = list(of_images.values())
    texts = read_beside(of_images, files, where)

    apart = [path for image, path in of_images.items() if path.parent != image.parent]
    if apart:
        place = apart[0].parent.relative_to(layout.tree.root)
        captions.notes.append(f"captions are text files, as those in {str(place)!r}")
    elif texts:
        captions.notes.append("captions are text files beside the images")
    return texts


def renamed(path: Path) -> str:
    """Return what makes a table of another name one that is read."""
    name = f"metadata{path.suffix.lower()}"
    if name in NAMES:
        return f"rename it to {name}"
    return f"save it as {METADATA}"


def _divide(
    captions: Captions,
    texts: Mapping[Path, str],
    layout: Layout,
    source: CaptionedFolderSource,
    where: str,
) -> None:
    """Divide the images by folders or else by rows, which were written down, or by file names."""
    captions.divide(texts, layout)
    if layout.test is None and source.splits == "auto":
        if _split_by_rows(captions, where):
            return
        captions.divide(texts, split_by_files(layout))

    if len(captions.parts) == 2:
        train, test = ([captions.splits.get(path) for path in part] for part in captions.parts)
        captions.notes += note_on_others(train, test)


def _split_by_rows(captions: Captions, where: str) -> bool:
    """Divide the images if their rows name several splits, and say whether they do."""
    (whole,) = captions.parts
    paths = list(whole)
    rows = divided([captions.splits.get(path) for path in paths], where)
    if rows is None:
        return False

    captions.parts = [
        {paths[number]: whole[paths[number]] for number in numbers}
        for numbers in (rows.train, rows.test)
    ]
    if rows.others:
        others = tuple(paths[number] for number in rows.others)
        captions.others.append(LeftOut("files", "of other splits", others))
    captions.notes.append(rows.note)
    return True


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
    images = CaptionedImages(layout)
    for path in captions.files:
        rows = _rows(path, where, files)
        columns = caption_columns(rows, source.caption)
        captions.columns.append(columns)
        if columns.read != source.caption:
            captions.notes.append(f"captions are the column {columns.read!r} of {path.name}")
        of_file: dict[Path, list[str]] = {}
        missing: list[str] = []
        for row in rows:
            try:
                image, of_image = _parse(row, columns.read, path.parent, images)
                if image in texts or (image in of_file and path.suffix.lower() in JSON):
                    raise ValueError(f"{image.name!r} is listed twice; make its captions a list")
            except NoImage as error:
                missing.append(error.name)
            except (ValueError, RecursionError) as error:
                problems.append(Problem(f"{path}, line {row.number}", str(error)))
            else:
                of_file[image] = [*of_file.get(image, []), *of_image]
                captions.splits[image] = split_of(row)

        # A table, as that of Flickr8k, has a row for each of several captions.
        texts.update({image: of_image[0] for image, of_image in of_file.items() if of_image})
        several += sum(len(of_image) > 1 for of_image in of_file.values())
        if missing:
            captions.missing += missing
            captions.others.append(LeftOut("rows", "their images are missing", (), len(missing)))
            if len(captions.missing) > source.tolerate or not of_file:
                problems.append(_missing(path, missing, len(rows), images, bool(of_file)))
    if several:
        captions.notes.append(f"{several:,} with several captions, of which the first is used")
    return texts, problems


def _missing(
    path: Path, names: Sequence[str], count: int, images: CaptionedImages, some: bool
) -> Problem:
    """Return the problem of rows whose images are not in the folder.

    count  rows of the file
    some   whether others of its rows have their images
    """
    examples = ", ".join(map(repr, names[:EXAMPLES]))
    what = f"{len(names):,} of {count:,} rows name images that are missing, e.g. {examples}"
    remedy = f"looked in {str(path.parent)!r} and, by name, in all of {str(images.root)!r}: "
    remedy += "correct the names or add the images"
    if some:
        remedy += f", or set modality.source.tolerate to {len(names)} or more to leave the rows out"
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


def _first_problems(problems: Sequence[Problem], where: str) -> list[Problem]:
    """Return the first problems, and how many more there are."""
    more = len(problems) - MOST
    if more <= 0:
        return list(problems)
    return [*problems[:MOST], Problem(where, f"{more} more problems like these")]
