"""Captions of the images in a folder: a line of metadata.jsonl for each, as in `datasets`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from imglab.errors import InputError, Problem
from imglab.failures import raise_if_unavailable
from imglab.images.image_files import IMAGE_SUFFIXES, list_images
from imglab.safe_text import is_text

METADATA = "metadata.jsonl"

MOST = 5
"""Problems of one folder that are reported, at most."""


def read_captions(folder: Path, key: str, where: str) -> dict[Path, str]:
    """Return the images below a folder with their captions, sorted by path.

    key  the key of the caption in each line

    Raises InputError, at the config's key `where`, for a file that cannot be read, a line without a
    file name or a caption, a path that leads out of the folder, a path that names no image, an
    image that is named twice, and an image without a caption.
    """
    captions, problems = _parse_lines(_read_lines(folder / METADATA, where), folder, key)

    images = list_images(folder)
    for image in images:
        if image not in captions:
            what = f"has no caption in {METADATA}"
            problems.append(Problem(str(image), what, "add a line for it"))
    if not images and not problems:
        what = f"{str(folder)!r} holds no image"
        problems.append(Problem(where, what, "expected .png, .jpg, ..."))

    if problems:
        raise InputError(_first_problems(problems, where))
    return {image: captions[image] for image in images}


def _read_lines(path: Path, where: str) -> list[str]:
    try:
        if path.exists() and not path.is_file():  # reading a pipe would never end
            raise OSError("it is not a regular file")
        return path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError, MemoryError) as error:
        raise_if_unavailable(error, path)
        what = f"{str(path)!r} cannot be read: {error}"
        remedy = 'a line {"file_name": ..., "text": ...} for each image; or use kind: folder'
        raise InputError(Problem(where, what, remedy)) from error


def _parse_lines(
    lines: Sequence[str], folder: Path, key: str
) -> tuple[dict[Path, str], list[Problem]]:
    """Return image -> caption of all lines that are valid, and the problems of the others."""
    captions: dict[Path, str] = {}
    problems = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue

        try:
            name, caption = _parse_line(line, key)
            image = _image_path(folder, name)
            if image in captions:
                raise ValueError(f"{name!r} is listed twice")
        except (ValueError, RecursionError) as error:
            problems.append(Problem(f"{folder / METADATA}, line {number}", str(error)))
        else:
            captions[image] = caption
    return captions, problems


def _parse_line(line: str, key: str) -> tuple[str, str]:
    """Return file name and caption, with single spaces; ValueError where one of them is missing."""
    entry = json.loads(line)  # raises a ValueError too
    if not isinstance(entry, dict) or not isinstance(entry.get("file_name"), str):
        raise ValueError("has no `file_name`")

    caption = entry.get(key)
    if not isinstance(caption, str) or not caption.strip():
        what = f"has no caption under {key!r}"
        others = [name for name in entry if name != "file_name"]
        if others:
            what = f"{what}; it has {', '.join(others)}"
        raise ValueError(what)

    if not is_text(caption):
        raise ValueError("its caption contains half a surrogate pair, which UTF-8 cannot encode")
    return entry["file_name"], " ".join(caption.split())


def _image_path(folder: Path, name: str) -> Path:
    """Return the path of an image in the folder; ValueError where there is no such image."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"{name!r} leads out of the folder")

    image = folder / name
    try:
        is_file = image.is_file()
    except OSError:  # the name is too long for any file
        is_file = False

    if not is_file or image.suffix.lower() not in IMAGE_SUFFIXES:
        raise ValueError(f"there is no image {name!r}")
    return image


def _first_problems(problems: Sequence[Problem], where: str) -> list[Problem]:
    """Return the first problems, and how many more there are."""
    more = len(problems) - MOST
    if more <= 0:
        return list(problems)
    return [*problems[:MOST], Problem(where, f"{more} more problems like these")]
