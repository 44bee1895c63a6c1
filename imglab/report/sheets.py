"""Images as one PNG with thin gaps between them, and content as URLs that a page can hold."""

from __future__ import annotations

import base64
import io
import math

import numpy as np
from PIL import Image

GAP = 1
"""Pixels between the images of a sheet."""
GREY = 128
"""Brightness of the gaps."""
WIDE = 400
"""Screen pixels that a sheet should take, about: real data and two arms stand side by side."""


def sheet_png(images: np.ndarray, wide: int = WIDE) -> tuple[bytes, dict[str, int]]:
    """Return uint8 images [N, C, H, W] as one PNG, and a layout that says where each image lies.

    The layout holds `columns`, `count` (N), `w` and `h` of an image, `gap`, and `width` and
    `height` of the sheet, all in the sheet's pixels, and `scale`, the whole number of screen pixels
    that one of them takes so that the sheet is about `wide` screen pixels wide.
    """
    count, channels, height, width = images.shape
    columns = max(1, math.ceil(math.sqrt(count)))
    rows = max(1, math.ceil(count / columns))

    # A PNG has one channel or three; of other numbers of channels the first ones are shown.
    used = 1
    if channels >= 3:
        used = 3

    size = (rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, used)
    sheet = np.full(size, GREY, dtype=np.uint8)
    for at, image in enumerate(images[:, :used]):
        row, column = divmod(at, columns)
        top = row * (height + GAP) + GAP
        left = column * (width + GAP) + GAP
        sheet[top : top + height, left : left + width] = image.transpose(1, 2, 0)

    layout = {"columns": columns, "count": count, "w": width, "h": height, "gap": GAP}
    layout["scale"] = max(1, round(wide / size[1]))
    layout["width"] = size[1]
    layout["height"] = size[0]
    return png_bytes(sheet), layout


def png_bytes(pixels: np.ndarray) -> bytes:
    """Return uint8 pixels [H, W, 1 or 3] as a PNG; the same pixels give the same bytes."""
    if pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def data_url(content: bytes, kind: str = "image/png") -> str:
    """Return a URL that holds `content` itself; `kind` is its media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
