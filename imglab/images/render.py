"""What a person looks at for images: a grid with crisp pixels."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

SMALLEST = 48
"""Pixels that an image's side takes on the grid at least."""


def draw_grid(images: Tensor, path: Path) -> None:
    """Write uint8 images [N, C, H, W] as a PNG, as `grid_of` lays them out."""
    write_png(grid_of(images), path)


def grid_of(images: Tensor) -> Tensor:
    """Lay out uint8 images [N, C, H, W] as one [C, H, W], in rows of about sqrt(N) images.

    Small images are enlarged: each pixel becomes a square whose side is a whole number of pixels.
    """
    from torchvision.utils import make_grid

    times = max(1, math.ceil(SMALLEST / images.shape[-1]))
    large = images.repeat_interleave(times, -1).repeat_interleave(times, -2)
    if large.shape[1] == 1:
        large = large.expand(-1, 3, -1, -1)

    columns = math.ceil(math.sqrt(len(images)))
    grid: Tensor = make_grid(large, nrow=columns, padding=4, pad_value=128)
    return grid.to(torch.uint8)


def write_png(image: Tensor, path: Path) -> None:
    """Write a uint8 image [C, H, W] of one, three or four channels as a PNG."""
    as_picture(image).save(path, format="PNG", optimize=True)


def as_picture(image: Tensor) -> Image.Image:
    """Return a uint8 image [C, H, W] of one, three or four channels as a picture of Pillow."""
    rows = image.permute(1, 2, 0)
    if image.shape[0] == 1:
        rows = rows.squeeze(2)
    return Image.fromarray(rows.numpy())
