"""Image files from strangers: which files are images, and reading them without trusting them."""

from __future__ import annotations

import struct
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from imglab.errors import InputError, Problem, first_line
from imglab.images.arrays import image_array

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
"""Formats that are tried on an image file, whatever its suffix: some of Pillow's other readers run
programs."""

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


def list_images(folder: Path) -> list[Path]:
    """Return the image files below a folder, by their suffixes, sorted by path."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)


def open_images(paths: Sequence[Path], size: int | None) -> list[Any]:
    """Return the images as uint8 arrays [H, W] or [H, W, 3] (`arrays.image_array`).

    Raises InputError that names every file that cannot be read.
    """
    arrays = []
    problems = []
    for path in paths:
        try:
            arrays.append(_read_image(path, size))
        except UNREADABLE as error:
            what = f"cannot be read as an image: {first_line(error)}"
            problems.append(Problem(str(path), what, "remove or replace it"))

    if problems:
        raise InputError(problems)
    return arrays


def _read_image(path: Path, size: int | None) -> Any:
    if not path.is_file():  # reading a pipe or a device would never end
        raise ValueError("it is not a regular file")
    return read_image(path, size)


def read_image(file: Path | BinaryIO, size: int | None) -> Any:
    """Return the image in a file as uint8 [H, W] or [H, W, 3]; one of UNREADABLE if it has none."""
    with warnings.catch_warnings():
        # A file may be odd and readable all the same, but a decompression bomb is refused.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(file, formats=FORMATS) as image:
            return image_array(image, size)
