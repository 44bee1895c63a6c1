"""Images of many forms, brought to uint8 tensors [N, C, H, W]."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from imglab.config.machine import machine_memory, size_text
from imglab.errors import InputError, Problem

GREY_WITH_ALPHA = ("LA", "La")
WITH_ALPHA = (*GREY_WITH_ALPHA, "PA", "RGBA", "RGBa")
"""Pillow's modes for images with a transparency channel."""

CONVERT = "convert it first, e.g. magick IN -normalize -depth 8 OUT.png"


DEEP_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")
"""Pillow's modes for grey pixels of more than 8 bits."""

LARGEST_DEEP = (1 << 16) - 1
TWELVE_BITS = 1 << 12
NEARLY_BLACK = 16
"""Of 8 bits, what some pixel is above unless numbers of classes, bits or grey levels of few bits
were stored in place of brightness."""

ORIENTATION = 0x0112
"""EXIF tag that says how the camera was held."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture upright, by its orientation."""

NOT_EXIF = (OSError, ValueError, TypeError, KeyError, IndexError, SyntaxError, struct.error)
"""Exceptions on a damaged EXIF block, of a picture that may be whole."""


def image_array(image: Image.Image, size: int | None) -> Any:
    """Return an image as uint8 [H, W] or [H, W, 3]; transparent parts are put on white.

    Grey pixels of 16 bits are scaled to 8.

    size  side to which the largest centred square is resized; None: keep the image's own size
    Raises ValueError for floating-point pixels and for more than 16 bits a channel.
    """
    if image.mode == "F":
        raise ValueError(f"it has floating-point pixels; {CONVERT}")
    if image.mode in DEEP_MODES:
        image = _eight_bits(image)

    if image.mode in WITH_ALPHA or "transparency" in image.info:
        image = _on_white(image)
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "RGB"):
        image = image.convert("RGB")

    if size is not None:
        image = _centred_square(image, size)
    return np.asarray(image)


def orientation(image: Image.Image) -> int:
    """Return how the camera was held, 1 to 8 as in EXIF; 1 is upright, or not known."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except NOT_EXIF:
        return 1
    if value in TURNS:
        return int(value)
    return 1


def reduced(image: Image.Image, side: int) -> Image.Image:
    """Return the largest centred square, averaged over blocks, at least `side` pixels wide."""
    shorter = min(image.size)
    factor = shorter // side
    if factor < 2:
        return image

    left = (image.width - shorter) // 2
    top = (image.height - shorter) // 2
    if image.mode in DEEP_MODES:
        image = _eight_bits(image)
    elif image.mode in ("1", "P"):
        image = image.convert({"1": "L", "P": "RGB"}[image.mode])
    return image.reduce(factor, (left, top, left + shorter, top + shorter))


def stack_images(arrays: Sequence[Any], names: Sequence[str]) -> Tensor:
    """Stack uint8 arrays [H, W] or [H, W, 3] to [N, C, H, W]; one in colour makes all colour.

    names  what the images are called where they differ in size, which raises InputError
    """
    if any(array.ndim == 3 for array in arrays):
        arrays = [_in_colour(array) for array in arrays]

    first_of_shape: dict[tuple[int, ...], str] = {}
    for array, name in zip(arrays, names, strict=True):
        first_of_shape.setdefault(array.shape, name)
    if len(first_of_shape) > 1:
        examples = [f"{name} is {shape[1]} x {shape[0]}" for shape, name in first_of_shape.items()]
        what = f"the images differ in size: {', '.join(examples[:2])}"
        raise InputError(Problem("modality.size", what, "set modality.size to resize them"))

    return channels_first(np.stack(arrays))


def channels_first(images: Any) -> Tensor:
    """Return images [N, H, W] or [N, H, W, 1 or 3], array or tensor, as a tensor [N, C, H, W].

    Images that have this form already are left as they are.
    """
    tensor = torch.as_tensor(images)
    if tensor.dim() == 3:
        tensor = tensor[:, None]
    elif tensor.shape[-1] in (1, 3):
        tensor = tensor.permute(0, 3, 1, 2)
    return tensor.contiguous()


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return grey pixels of 16 bits scaled to 8; ValueError where they have more."""
    deep = np.asarray(image)
    if deep.min() < 0:
        raise ValueError(f"it has negative pixels; {CONVERT}")
    if deep.max() > LARGEST_DEEP:
        raise ValueError(f"it has more than 16 bits a channel; {CONVERT}")
    return Image.fromarray((deep >> 8).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    """Return an image without its transparency, grey if it was grey."""
    mode = "RGB"
    if image.mode in GREY_WITH_ALPHA:
        mode = "L"

    colour = image.convert("RGBA")
    flat = Image.new("RGBA", colour.size, "white")
    flat.alpha_composite(colour)
    return flat.convert(mode)


def _centred_square(image: Image.Image, size: int) -> Image.Image:
    """Crop the largest centred square and resize it."""
    side = min(image.size)
    left = (image.width - side) // 2
    top = (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return square.resize((size, size), Image.Resampling.LANCZOS)


def _in_colour(array: Any) -> Any:
    if array.ndim == 2:
        return np.stack([array] * 3, -1)
    return array


def check_fits(count: int, channels: int, size: int) -> None:
    """Raise InputError where so many images of this size do not fit into memory as uint8."""
    needed = count * channels * size**2
    limit = machine_memory()
    if limit is None or needed <= limit:
        return
    what = (
        f"{count:,} images of {size} x {size} pixels in {channels} channels need "
        f"{size_text(needed)} of memory; the machine has {size_text(limit)}"
    )
    fitting = int(size * (limit / needed) ** 0.5)
    remedy = f"at most {fitting}, or give a part of the images"
    raise InputError(Problem("modality.size", what, remedy))
