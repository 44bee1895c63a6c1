"""Captions of the images in a folder: a table as in `datasets`, or a text beside each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from imglab.errors import InputError, Problem
from imglab.images.caption_rows import NAMES
from imglab.images.caption_tables import (
    JSON,
    METADATA,
    REMEDY,
    Captions,
    caption_tables,
    read_tables,
)
from imglab.images.captions_beside import CaptionFiles, read_beside, texts_of_images
from imglab.images.source_settings import CaptionedFolderSource
from imglab.reading import (
    Failure,
    Layout,
    LeftOut,
    as_problems,
    divided,
    note_on_others,
    split_by_files,
)
from imglab.reading.listed_parts import split_by_lists
from imglab.reading.lists import read_lists
from imglab.reading.parts import names_of

MOST = 5
"""Problems of one folder that are reported, at most."""

TABLES = (*JSON, ".csv", ".tsv", ".parquet")
"""Suffixes of files that may hold captions under a name that is not known."""


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
    texts, problems = read_tables(captions, layout, source, where, files)
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
    """Divide the images by folders or else by rows or lists, which say so, or by file names."""
    captions.divide(texts, layout)
    if layout.test is None and source.splits == "auto":
        if _split_by_rows(captions, where):
            return
        images = layout.train.files
        others = [path for path in layout.others if path not in captions.files]
        lists, unreadable = read_lists(layout.tree.root, images, others)
        listed, read = split_by_lists(layout, lists)
        captions.notes += unreadable
        captions.files += read
        captions.divide(texts, split_by_files(listed))

    if len(captions.parts) == 2:
        train, test = ([captions.splits.get(path) for path in part] for part in captions.parts)
        captions.notes += note_on_others(train, test)


def _split_by_rows(captions: Captions, where: str) -> bool:
    """Divide the images if their rows name several splits, and say whether they do."""
    (whole,) = captions.parts
    paths = list(whole)
    rows = divided([captions.splits.get(path) for path in paths], captions.columns, where)
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


def _first_problems(problems: Sequence[Problem], where: str) -> list[Problem]:
    """Return the first problems, and how many more there are."""
    more = len(problems) - MOST
    if more <= 0:
        return list(problems)
    return [*problems[:MOST], Problem(where, f"{more} more problems like these")]
