"""Many image files: read within one budget, and the broken ones named, or left out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from imglab.errors import InputError, Problem, first_line
from imglab.failures import NAMES
from imglab.images.arrays import (
    DEEP_MODES,
    NEARLY_BLACK,
    TWELVE_BITS,
    check_fits,
    image_array,
)
from imglab.images.image_files import (
    LARGEST_RATIO,
    UNREADABLE,
    opened,
    raise_unless_content,
    unpacked_bytes,
)
from imglab.images.image_formats import formats_of
from imglab.progress import report
from imglab.reading import Failure, LeftOut, as_problems

ALWAYS_ALLOWED = 1 << 27
"""Bytes to which the images of a source may unpack, whatever their ratio (`LARGEST_RATIO`)."""

HEIC = (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc", b"ftypheim")

TIFF = (
    "its form of TIFF, e.g. of 64 bits or of many channels, has no reader; convert it, "
    "e.g. magick IN -normalize -depth 8 OUT.png"
)
WEB_PAGE = "it is a web page, as a failed download leaves it"
OTHERS = {
    b"ii*\0": TIFF,
    b"mm\0*": TIFF,
    b"version https://git-lfs": "it is a pointer of Git LFS; fetch the images with git lfs pull",
    b"<!doctype html": WEB_PAGE,
    b"<html": WEB_PAGE,
    b"<svg": "it is SVG, which has no reader; convert it, e.g. magick mogrify -format png *.svg",
    b"<?xml": "it is XML or SVG, which has no reader",
}
"""What files are that have no reader, by their first bytes in lower case."""


@dataclass(frozen=True)
class Opened:
    """Images that were read.

    arrays    uint8 [H, W] or [H, W, 3] (`arrays.image_array`)
    is_read   of each path, whether it was read
    left_out  broken files, where some may be left out
    notes     what a person should know of the reading, each a short phrase
    failures  why each broken file is
    """

    arrays: list[Any]
    is_read: list[bool]
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()


class _TooMuch(Exception):
    """The images would unpack to more than their files can mean."""


@dataclass
class _Reader:
    """Reads images one by one, and counts what is unusual about them.

    allowed   bytes to which the images may unpack
    unpacked  bytes to which they have, in memory: as arrays, and empty ones while they are decoded
    deepest   largest pixel of the images with 16 bits
    brightest largest pixel of all images, in 8 bits
    """

    size: int | None
    allowed: int
    unpacked: int = 0
    turned: int = 0
    animated: int = 0
    pages: int = 0
    deep: int = 0
    deepest: int = 0
    brightest: int = 0
    failures: list[Failure] = field(default_factory=list)
    unread: list[Failure] = field(default_factory=list)

    def try_to_read(self, path: Path) -> Any | None:
        """Return the image in a file; None, and one failure more, if there is none.

        A file that has lost its name is not broken. Unavailable for one that the system does not
        let us read.
        """
        try:
            return self._read(path)
        except UnidentifiedImageError:
            self.failures.append(Failure(path, f"cannot be read as an image: {_kind(path)}"))
        except UNREADABLE as error:
            raise_unless_content(error, path)
            if isinstance(error, OSError) and error.errno in NAMES:
                self.unread.append(Failure(path, f"cannot be read: {error.strerror}"))
            else:
                what = f"cannot be read as an image: {first_line(error)}"
                self.failures.append(Failure(path, what))
        return None

    def _read(self, path: Path) -> Any:
        if not path.is_file():  # reading a pipe or a device would never end
            raise ValueError("it is not a regular file")

        count = partial(self._count_bytes, path.stat().st_size)
        with opened(path, self.size, formats_of(path), count) as picture:
            image = picture.image
            deep = image.mode in DEEP_MODES
            if deep:
                self.deepest = max(self.deepest, int(np.asarray(image).max()))
            array = image_array(image, self.size)

            # Only what was read is counted.
            if self.brightest <= NEARLY_BLACK:
                self.brightest = max(self.brightest, int(array.max(initial=0)))
            self.deep += deep
            self.turned += picture.is_turned
            self.animated += picture.is_animated()
            self.pages += picture.is_page()
        return array

    def _count_bytes(self, packed: int, image: Image.Image) -> None:
        """Count an image in a file of `packed` bytes against what is allowed."""
        unpacked = unpacked_bytes(image)
        if self.size is None or unpacked > LARGEST_RATIO * packed:
            self.unpacked += unpacked
        if self.unpacked > self.allowed or unpacked > max(ALWAYS_ALLOWED, LARGEST_RATIO * packed):
            raise _TooMuch

    def notes(self) -> Iterator[str]:
        """Yield what a person should know of the images that were read."""
        if self.turned:
            yield f"{self.turned:,} turned upright as their EXIF says"
        if self.animated:
            yield f"{self.animated:,} animated, of which the first frame is read"
        if self.pages:
            yield f"{self.pages:,} of several pages, of which the first is read"
        if self.deep:
            yield f"{self.deep:,} scaled from 16 bits to 8"


def open_images(
    paths: Sequence[Path],
    size: int | None,
    *,
    tolerate: int = 0,
    where: str = "modality.source.path",
    is_drawn: bool = False,
) -> Opened:
    """Read images.

    size      side to which the largest centred square is resized; None: keep the images' own size
    tolerate  how many files may be broken, which are then left out
    where     the config's key that names the files
    is_drawn  whether a model may have drawn them: they may all be nearly black

    Raises InputError that names the files that cannot be read, the same error of many only once.
    """
    packed = sum(path.stat().st_size for path in paths if path.is_file())
    reader = _Reader(size, max(ALWAYS_ALLOWED, LARGEST_RATIO * packed))
    arrays = []
    try:
        for path in paths:
            arrays.append(reader.try_to_read(path))
            report("reading images", len(arrays), len(paths))
            if size is not None and len(arrays) == 1:
                check_fits(len(paths), _channels(arrays[0]), size)
    except _TooMuch as error:
        what = (
            f"images in files of {packed:,} bytes would unpack to more than {LARGEST_RATIO} times "
            f"as many, and more than {ALWAYS_ALLOWED:,}"
        )
        remedy = "remove empty pictures, or give fewer of them"
        raise InputError(Problem(where, what, remedy)) from error

    _check(reader, tolerate, where, is_drawn)
    left_out: tuple[LeftOut, ...] = ()
    if reader.failures:
        broken = tuple(failure.path for failure in reader.failures)
        left_out = (LeftOut("broken", ", ".join(_names(broken[:3], paths)), broken),)
    is_read = [array is not None for array in arrays]
    return Opened(
        [array for array in arrays if array is not None],
        is_read,
        left_out,
        tuple(reader.notes()),
        tuple(reader.failures),
    )


def _names(some: Sequence[Path], paths: Sequence[Path]) -> list[str]:
    """Return the paths of some images from the folder around all of them, e.g. `dog/005.jpg`."""
    around = os.path.commonpath([path.parent for path in paths])
    return [path.relative_to(around).as_posix() for path in some]


def _channels(array: Any | None) -> int:
    """Return how many channels an image has; 1 if it could not be read."""
    if array is None or array.ndim == 2:
        return 1
    return int(array.shape[2])


def _check(reader: _Reader, tolerate: int, where: str, is_drawn: bool) -> None:
    """Raise InputError for files that cannot be read, and for depths that would come out black."""
    problems = as_problems(reader.unread, where, "put it back, or run the same command again")
    if len(reader.failures) > tolerate:
        remedy = "remove or replace it, or set modality.source.tolerate to leave some out"
        problems += as_problems(reader.failures, where, remedy)

    if reader.deep and 0 < reader.deepest < TWELVE_BITS:
        what = (
            f"no pixel of the {reader.deep:,} images of 16 bits is above {reader.deepest}: "
            "scaled to 8 bits they would be black"
        )
        remedy = "scale them first, e.g. magick mogrify -evaluate multiply 16 *.png"
        problems.append(Problem(where, what, remedy))
    elif not is_drawn and 0 < reader.brightest <= NEARLY_BLACK:
        what = f"no pixel of any image is above {reader.brightest}: all would be nearly black"
        remedy = "scale them first, if they are images, e.g. magick mogrify -normalize *.png"
        problems.append(Problem(where, what, remedy))
    if problems:
        raise InputError(problems)


def _kind(path: Path) -> str:
    """Say what a file is whose format is not read."""
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        return "it is empty"
    if start[4:12] in HEIC:
        return "it is HEIC, which has no reader; convert it, e.g. magick mogrify -format jpg *.heic"
    for begins, what in OTHERS.items():
        if start.lower().lstrip().startswith(begins):
            return what
    return "it is in no format that is read, or damaged"
