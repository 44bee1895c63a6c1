"""Captions in text files beside the images, and boxes of objects, which are none."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from imglab.errors import InputError
from imglab.failures import raise_if_unavailable
from imglab.images.caption_rows import decode
from imglab.reading import Failure, Layout, as_problems
from imglab.safe_text import is_text

BESIDE = (".txt", ".caption")
SHARE = r"(?:-?0?\.\d+|-?[01](?:\.\d*)?|\d(?:\.\d+)?e-\d+)"
BOX = re.compile(rf"\d+(?:[ \t]+{SHARE}){{4}}(?:[ \t]+[\d.e-]+)*[ \t]*")
"""A class and at least four shares of a side, which say where an object is in an image; some leave
it a little."""

LONGEST_CAPTION = 1 << 16
"""Bytes of a text file that is a caption."""


def read_beside(layout: Layout, where: str) -> tuple[dict[Path, str], list[Path]]:
    """Return image -> caption of the texts that lie beside images, under the same name; and those.

    Raises InputError, at the config's key `where`, for texts that cannot be read, and for boxes.
    """
    # Suffixes may be in any case.
    others = {path.with_suffix(path.suffix.lower()): path for path in reversed(layout.others)}
    read = {}
    files = []
    failures = []
    parts = [part for part in (layout.train, layout.test) if part is not None]
    for image in (path for part in parts for path in part.files):
        beside = [image.with_suffix(suffix) for suffix in BESIDE]
        beside += [image.with_name(image.name + suffix) for suffix in BESIDE]
        path = next((others[each] for each in beside if each in others), None)
        if path is None:
            continue
        files.append(path)
        try:
            read[image] = _read_text(path)
        except (OSError, ValueError) as error:
            raise_if_unavailable(error, path)
            failures.append(Failure(path, f"cannot be read as a caption: {error}"))

    if are_boxes(read.values()):
        what = "holds boxes of objects, as YOLO does"
        failures = [Failure(path, what) for path in files]
        raise InputError(as_problems(failures, where, "use kind: folder"))
    if failures:
        raise InputError(as_problems(failures, where, "write the caption into it, in UTF-8"))
    texts = {image: " ".join(text.split()) for image, text in read.items() if text.strip()}
    return texts, files


def _read_text(path: Path) -> str:
    if not path.is_file():
        raise ValueError("it is not a regular file")
    if path.stat().st_size > LONGEST_CAPTION:
        raise ValueError(f"it is longer than {LONGEST_CAPTION:,} bytes")
    text = decode(path.read_bytes())
    if not is_text(text):
        raise ValueError("it contains half a surrogate pair")
    return text


def are_boxes(texts: Iterable[str]) -> bool:
    """Say whether most texts beside images say where objects are in them, as those of YOLO do.

    Empty ones, of images without objects, are passed over.
    """
    written = 0
    boxes = 0
    for text in texts:
        lines = [line for line in text.splitlines() if line.strip()]
        written += bool(lines)
        boxes += bool(lines) and "." in text and all(map(BOX.fullmatch, lines))
    return 2 * boxes > written
