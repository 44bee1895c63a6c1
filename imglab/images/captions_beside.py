"""Captions in text files beside the images or in a folder of their own, and boxes of objects."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imglab.errors import InputError
from imglab.failures import raise_if_unavailable
from imglab.images.caption_rows import Row, decode, read_rows
from imglab.reading import Failure, as_problems, has_words, partners
from imglab.safe_text import is_text

BESIDE = (".txt", ".caption")
SHARE = r"(?:-?0?\.\d+|-?[01](?:\.\d*)?|\d(?:\.\d+)?e-\d+)"
BOX = re.compile(rf"\d+(?:[ \t]+{SHARE}){{4}}(?:[ \t]+[\d.e-]+)*[ \t]*")
"""A class and at least four shares of a side, which say where an object is in an image; some leave
it a little."""

NUMBER = r"-?\d+(?:\.\d*)?(?:e[+-]?\d+)?"
NAMED_BOX = re.compile(
    rf"(?:[^\s\d]\S*[ \t]+)?{NUMBER}(?:[ \t,]+{NUMBER}){{3,}}(?:[ \t]+\S+){{0,2}}"
)
"""At least four numbers with the name of what they frame, before them as in KITTI or behind."""

LONGEST_BOX = 10_000
"""Characters of a line that frames an object; outlines of objects have many numbers."""

LONGEST_CAPTION = 1 << 16
"""Bytes of a text file that is a caption."""

FIRST = 50
"""Texts by which it is seen what a folder of texts holds."""


@dataclass
class CaptionFiles:
    """The files of captions of a folder, each of which is read once."""

    _rows: dict[Path, list[Row]] = field(default_factory=dict)
    _texts: dict[Path, str] = field(default_factory=dict)

    def rows(self, path: Path) -> list[Row]:
        """Return the rows of a table; UnreadableRows where it has none."""
        if path not in self._rows:
            self._rows[path] = read_rows(path)
        return self._rows[path]

    def text(self, path: Path) -> str:
        """Return a text of the length of a caption; OSError or ValueError where it is none."""
        if path not in self._texts:
            self._texts[path] = _read_text(path)
        return self._texts[path]

    def beginnings(self, paths: Sequence[Path]) -> list[str]:
        """Return those of the texts that can be read."""
        texts = []
        for path in paths:
            try:
                texts.append(self.text(path))
            except (OSError, ValueError) as error:
                raise_if_unavailable(error, path)
        return texts


def texts_of_images(
    root: Path, images: Sequence[Path], others: Collection[Path], files: CaptionFiles
) -> dict[Path, Path]:
    """Return the text file of each image that has one: beside it, or else in a folder of texts.

    Those beside an image have its name. A folder such as captions/ is one of texts where they have
    the names of images (`partners`) and most of them hold words, not boxes.
    """
    # Suffixes may be in any case.
    lower = {path.with_suffix(path.suffix.lower()): path for path in sorted(others, reverse=True)}
    beside = {}
    for image in images:
        names = [image.with_suffix(suffix) for suffix in BESIDE]
        names += [image.with_name(image.name + suffix) for suffix in BESIDE]
        path = next((lower[each] for each in names if each in lower), None)
        if path is not None:
            beside[image] = path

    if 2 * len(beside) > len(images):
        return beside
    texts = [path for path in others if path.suffix.lower() in BESIDE]
    families = partners(root, images, texts)
    best = beside
    for of_images in families.values():
        if len(of_images) > len(best) and _are_captions(list(of_images.values()), files):
            best = of_images
    return {image: best[image] for image in images if image in best}


def _are_captions(paths: Sequence[Path], files: CaptionFiles) -> bool:
    """Say whether most of the texts hold words, and are not boxes."""
    texts = [text for text in files.beginnings(paths[:FIRST]) if text.strip()]
    return 2 * sum(map(has_words, texts)) > len(texts) and not are_boxes(texts)


def read_beside(images: Mapping[Path, Path], files: CaptionFiles, where: str) -> dict[Path, str]:
    """Return the captions of images, whose texts are given; images with blank ones have none.

    Raises InputError, at the config's key `where`, for texts that cannot be read, and for boxes.
    """
    read = {}
    failures = []
    for image, path in images.items():
        try:
            read[image] = files.text(path)
        except (OSError, ValueError) as error:
            raise_if_unavailable(error, path)
            failures.append(Failure(path, f"cannot be read as a caption: {error}"))

    if are_boxes(read.values()):
        what = "holds boxes of objects, as YOLO does"
        failures = [Failure(path, what) for path in images.values()]
        raise InputError(as_problems(failures, where, "use kind: folder"))
    if failures:
        raise InputError(as_problems(failures, where, "write the caption into it, in UTF-8"))
    return {image: " ".join(text.split()) for image, text in read.items() if text.strip()}


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

    Empty ones, of images without objects, are passed over. Numbers alone say so only where some
    are fractions; boxes with names may be in whole pixels.
    """
    written = 0
    boxes = 0
    for text in texts:
        lines = [line for line in text.splitlines() if line.strip()]
        written += bool(lines)
        is_named = all(map(has_words, lines))
        boxes += bool(lines) and ("." in text or is_named) and all(map(_is_box, lines))
    return 2 * boxes > written


def _is_box(line: str) -> bool:
    """Say whether a line frames an object: by shares, or by numbers beside its name."""
    if len(line) > LONGEST_BOX:
        return False
    if BOX.fullmatch(line):
        return True
    return has_words(line) and NAMED_BOX.fullmatch(line.strip()) is not None
