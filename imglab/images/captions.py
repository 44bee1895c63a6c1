"""Captions of images in a folder, by the convention of `datasets`: a line of metadata.jsonl for each image."""

from __future__ import annotations

import json
from pathlib import Path

from imglab.errors import InputError, Problem
from imglab.safe_text import is_text

METADATA = "metadata.jsonl"
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
MOST = 5
"""Problems of one kind that are told."""


def read_captions(folder: Path, key: str, where: str) -> dict[Path, str]:
    """Return the images below a folder with their captions, in the order of their paths.

    Raises InputError, at the config's key `where`, for a line that is none, a path that leads outside, an image that is
    not there, and one that has no caption.
    """
    path = folder / METADATA
    try:
        if path.exists() and not path.is_file():  # a pipe would never end
            raise OSError("it is not a file")
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError, MemoryError) as error:
        what = f"{str(path)!r} cannot be read: {error}"
        remedy = 'a line {"file_name": ..., "text": ...} for each image; or use kind: folder'
        raise InputError(Problem(where, what, remedy)) from error
    found: dict[Path, str] = {}
    problems = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                name, caption = _entry(line, key)
                image = _inside(folder, name)
                if image in found:
                    raise ValueError(f"{name!r} stands there twice")
                found[image] = caption
            except (ValueError, RecursionError) as error:
                problems.append(Problem(f"{path}, line {number}", str(error)))
    there = sorted(image for image in folder.rglob("*") if image.suffix.lower() in IMAGE_SUFFIXES)
    without = [image for image in there if image not in found]
    problems += [
        Problem(str(image), f"has no caption in {METADATA}", "add a line for it")
        for image in without
    ]
    if not there and not problems:
        problems.append(
            Problem(where, f"{str(folder)!r} holds no image", "expected .png, .jpg, ...")
        )
    if problems:
        more = len(problems) - MOST
        rest = [Problem(where, f"{more} more problems like these")] if more > 0 else []
        raise InputError([*problems[:MOST], *rest])
    return {image: found[image] for image in there}


def _entry(line: str, key: str) -> tuple[str, str]:
    entry = json.loads(line)  # its error is a ValueError too
    if not isinstance(entry, dict) or not isinstance(entry.get("file_name"), str):
        raise ValueError("has no `file_name`")
    caption = entry.get(key)
    if not isinstance(caption, str) or not caption.strip():
        keys = ", ".join(name for name in entry if name != "file_name")
        raise ValueError(f"has no caption under {key!r}" + (f"; it has {keys}" if keys else ""))
    if not is_text(caption):
        raise ValueError("its caption holds half a character, which UTF-8 cannot say")
    return entry["file_name"], " ".join(caption.split())


def _inside(folder: Path, name: str) -> Path:
    image = folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"{name!r} leads out of the folder")
    try:
        there = image.is_file()
    except OSError:  # such a name is too long for any file
        there = False
    if not there or image.suffix.lower() not in IMAGE_SUFFIXES:
        raise ValueError(f"there is no image {name!r}")
    return image
