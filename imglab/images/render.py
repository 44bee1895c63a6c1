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
    """Write uint8 images [N, C, H, W] as a PNG, in rows of about sqrt(N) images.

    Small images are enlarged: each pixel becomes a square whose side is a whole number of pixels.
    """
    from torchvision.utils import make_grid

    times = max(1, math.ceil(SMALLEST / images.shape[-1]))
    large = images.repeat_interleave(times, -1).repeat_interleave(times, -2)
    if large.shape[1] == 1:
        large = large.expand(-1, 3, -1, -1)

    columns = math.ceil(math.sqrt(len(images)))
    grid = make_grid(large, nrow=columns, padding=4, pad_value=128)
    write_png(grid.to(torch.uint8), path)


def write_png(image: Tensor, path: Path) -> None:
    """Write a uint8 image [C, H, W] of one, three or four channels as a PNG."""
    rows = image.permute(1, 2, 0)
    if image.shape[0] == 1:
        rows = rows.squeeze(2)
    Image.fromarray(rows.numpy()).save(path, format="PNG", optimize=True)
