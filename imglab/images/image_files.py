"""One image file from a stranger, opened without trusting it and within bounds of memory."""

from __future__ import annotations

import errno
import os
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from imglab.failures import error_number, raise_if_unavailable
from imglab.images.arrays import TURNS, image_array, orientation, reduced
from imglab.images.image_formats import FORMATS, LARGE_FORMATS

UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    SyntaxError,
    MemoryError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""Exceptions that readers raise on a file that is damaged or of another kind."""

BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)

MOST_PIXELS = 1 << 30
"""Pixels of the largest photo that is read; above Pillow's bound, only at reduced size."""

MOST_DECODED = 1 << 30
"""Bytes that a photo above Pillow's bound may take while it is reduced."""

LARGEST_RATIO = 200
"""Unpacked size over file size that a picture may have where it matters: deflate shrinks empty
pictures a thousandfold, and photos about tenfold."""

BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "RGBA": 8, "LA": 8, "PA": 8}
"""Bytes of a pixel in Pillow's memory while a photo is reduced, by its mode; 4 of all others."""


ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")
"""Formats that may move; the further pictures of a JPEG are previews."""

PHOTOMETRIC = 262
"""Tag of TIFF that says what a pixel of zero is: white if the tag is zero."""


@dataclass(frozen=True)
class Picture:
    """An open image, upright.

    is_turned  whether it was turned as its EXIF says
    file       the file that it comes from
    """

    image: Image.Image
    is_turned: bool
    file: Image.Image

    def is_animated(self) -> bool:
        """Say whether it is the first of several frames; ask only after it was decoded."""
        return self.file.format in ANIMATED and self._is_one_of_several()

    def is_page(self) -> bool:
        """Say whether it is the first of several pages; ask only after it was decoded."""
        return self.file.format == "TIFF" and self._is_one_of_several()

    def _is_one_of_several(self) -> bool:
        try:
            return bool(getattr(self.file, "is_animated", False))
        except (*UNREADABLE, IndexError):  # a later frame is damaged
            return False


def raise_unless_content(error: BaseException, path: Path) -> None:
    """Raise Unavailable if an error, one of UNREADABLE, says nothing of what is in a file.

    Damage may lead a reader to a place before the file's start: an invalid argument to the system.
    """
    if error_number(error) != errno.EINVAL:
        raise_if_unavailable(error, path)


def read_image(file: Path | BinaryIO, size: int | None) -> Any:
    """Return the image in a file as uint8 [H, W] or [H, W, 3]; one of UNREADABLE if it has none.

    size  side to which the largest centred square is resized; None: keep the image's own size
    """
    with opened(file, size) as picture:
        return image_array(picture.image, size)


@contextmanager
def opened(
    file: Path | BinaryIO,
    size: int | None,
    formats: tuple[str, ...] = FORMATS,
    before: Callable[[Image.Image], None] = lambda image: None,
) -> Iterator[Picture]:
    """Open an image file; one of UNREADABLE if it is none, or is too large.

    before  is called with the image before anything of it is decoded, and may raise

    The image is turned as its EXIF says. Where `size` is set, a photo of more pixels than Pillow
    allows is read at a reduced size.
    """
    with warnings.catch_warnings():
        # A file may be odd and readable all the same, but a decompression bomb is refused.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            image = Image.open(file, formats=formats)
        except BOMBS as error:
            if size is None:
                limit = Image.MAX_IMAGE_PIXELS or 0
                what = f"it has more than {limit:,} pixels; set modality.size to read it reduced"
                raise ValueError(what) from error
            with _large_photo(file, size) as photo:
                yield photo
            return

        with image:
            before(image)
            yield _picture(image, image)


@contextmanager
def _large_photo(file: Path | BinaryIO, size: int) -> Iterator[Picture]:
    """Open a photo above Pillow's bound at a reduced size, at least twice `size` on each side."""
    usual = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS
    try:
        if not isinstance(file, Path):
            file.seek(0)
        with Image.open(file, formats=LARGE_FORMATS) as image:
            pixels = image.width * image.height
            image.draft(image.mode, (2 * size, 2 * size))
            needed = image.width * image.height * BYTES.get(image.mode, 4)
            if image.info.get("progressive"):
                # libjpeg holds a coefficient of two bytes for every value of the whole photo.
                needed += 2 * len(image.getbands()) * pixels
            if needed > MOST_DECODED:
                what = f"it has {pixels:,} pixels, of which reading takes {needed:,} bytes"
                raise ValueError(f"{what}; shrink it first, e.g. magick IN -resize 4000x4000 OUT")
            if image.format != "JPEG" and unpacked_bytes(image) > LARGEST_RATIO * file_size(file):
                packed = file_size(file)
                raise ValueError(f"its {packed:,} bytes would unpack to {pixels:,} pixels")
            yield _picture(reduced(image, 2 * size), image)
    finally:
        Image.MAX_IMAGE_PIXELS = usual


def _picture(pixels: Image.Image, image: Image.Image) -> Picture:
    """Return an image's pixels, turned as its EXIF says; Pillow turns those of TIFF itself."""
    if image.format == "TIFF":
        return Picture(_black_at_zero(pixels, image), False, image)
    turn = TURNS.get(orientation(image))
    if turn is None:
        return Picture(pixels, False, image)
    return Picture(pixels.transpose(turn), True, image)


def _black_at_zero(pixels: Image.Image, image: Image.Image) -> Image.Image:
    """Return the pixels of a TIFF such that zero is black, which Pillow leaves undone at 16 bits.

    X-rays are stored with zero as white.
    """
    tags: Any = getattr(image, "tag_v2", {})
    if not image.mode.startswith("I;16") or tags.get(PHOTOMETRIC) != 0:
        return pixels
    values = np.asarray(pixels)
    return Image.fromarray(np.iinfo(values.dtype).max - values)


def unpacked_bytes(image: Image.Image) -> int:
    """Return the bytes of an image's pixels, before it is decoded."""
    pixels = image.width * image.height
    if image.mode == "1":
        return pixels // 8
    if image.mode.startswith("I;16"):
        return 2 * pixels
    return len(image.getbands()) * pixels


def file_size(file: Path | BinaryIO) -> int:
    """Return the bytes of a file."""
    if isinstance(file, Path):
        return file.stat().st_size
    place = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(place)
    return size
