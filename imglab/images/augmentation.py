"""What networks learn to overlook: images in [-1, 1] are moved, made noisy, faded and blurred."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Augmentation = Callable[[Tensor, torch.Generator], Tensor]
"""Changes images, float32 [N, C, H, W] in [-1, 1], each in its own random way."""

# How far images are changed at most:
TURN = 0.17
"""Rotation in radians."""
SCALE = 0.1
"""Enlargement or reduction, as a share of the image's size."""
SHIFT = 0.5
"""Shift in pixels along each axis."""
NOISE = 0.4
"""Standard deviation of the noise."""
FAINTEST = 0.3
"""Contrast that is left by the strongest fading."""


def disturbed(images: Tensor, generator: torch.Generator) -> Tensor:
    """Rotate, scale and shift each image a little and add noise.

    Without it the embedding memorizes the training images, and real test images look far from real
    training images: the floor of every metric would be out of a generator's reach.
    """
    moved_images = moved(images, generator)
    return moved_images + NOISE * torch.randn(images.shape, generator=generator)


def moved(images: Tensor, generator: torch.Generator) -> Tensor:
    """Rotate, scale and shift each image a little."""
    height, width = images.shape[2:]
    turn, size, right, down = (torch.rand(4, len(images), generator=generator) * 2 - 1).unbind()
    angle = turn * TURN
    scale = 1 + size * SCALE

    # Affine maps [N, 2, 3] from places in the result to places in the image, both in [-1, 1].
    shift_x = 2 * SHIFT * right / width
    shift_y = 2 * SHIFT * down / height
    rows = [
        torch.stack([angle.cos() / scale, -angle.sin() / scale, shift_x], 1),
        torch.stack([angle.sin() / scale, angle.cos() / scale, shift_y], 1),
    ]
    grid = nn.functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)

    # Outside the image everything is -1, which is black.
    return nn.functional.grid_sample(images + 1, grid, align_corners=False) - 1


def noisy(images: Tensor, generator: torch.Generator, *, most: float = NOISE / 4) -> Tensor:
    """Move each image a little, and add noise whose standard deviation is up to `most`."""
    strength = _uniform(images, generator, 0, most)
    return moved(images, generator) + strength * torch.randn(images.shape, generator=generator)


def damaged(images: Tensor, generator: torch.Generator) -> Tensor:
    """Move, blur, fade and add noise, each from not at all to strongly.

    A judge that learns from such images still reads those of a model that fades and blurs.
    """
    images = moved(images, generator)
    padded = nn.functional.pad(images, (2, 2, 2, 2), mode="replicate")
    blurred = nn.functional.avg_pool2d(nn.functional.avg_pool2d(padded, 3, 1), 3, 1)
    images = torch.lerp(images, blurred, _uniform(images, generator, 0, 1))

    # Fading pulls each image towards its mean, and may shift its brightness.
    mean = images.mean((1, 2, 3), keepdim=True)
    contrast = _uniform(images, generator, FAINTEST, 1)
    brightness = _uniform(images, generator, -0.2, 0.2)
    images = mean + (images - mean) * contrast + brightness

    strength = _uniform(images, generator, 0, NOISE)
    return images + strength * torch.randn(images.shape, generator=generator)


def _uniform(images: Tensor, generator: torch.Generator, low: float, high: float) -> Tensor:
    """Return a random number in [low, high) for each image, float32 [N, 1, 1, 1]."""
    return low + (high - low) * torch.rand(len(images), 1, 1, 1, generator=generator)
