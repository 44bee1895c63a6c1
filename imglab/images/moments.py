"""Brightness, contrast and variance of images in pixels, and how they are restored."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

EXACT = 256
"""Images whose squared pixels float32 adds up without rounding: 256 * 255^2 < 2^24."""

VALUES = 2**22
"""Pixels, counted in each channel, of which moments are taken at a time."""

BATCH = 8
"""Images that are restored at a time."""


@dataclass(frozen=True)
class PixelMoments:
    """The moments of N images in units in which pixels are in [0, 1].

    mean       of each pixel over the images, float64 [C, H, W]
    deviation  standard deviation of each pixel over the images (divided by N), float64 [C, H, W]
    """

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, images: Tensor) -> PixelMoments:
        """Measure uint8 images [N, C, H, W], N >= 1, a batch at a time."""
        total = torch.zeros(images.shape[1:], dtype=torch.float64)
        squares = torch.zeros_like(total)
        at_once = max(1, min(EXACT, VALUES // total.numel()))
        for batch in images.split(at_once):
            values = batch.float()
            total += values.sum(0)
            squares += values.square_().sum(0)

        # Sums of whole numbers are exact, so that no digits cancel here.
        mean = total / len(images)
        variance = (squares - total * mean) / len(images)
        return cls(mean / 255, variance.clamp(min=0).sqrt() / 255)

    @property
    def variance(self) -> float:
        """The total variance: the variances of all pixels, summed."""
        return float(self.deviation.square().sum())


def match_moments(images: Tensor, *, target: PixelMoments) -> Tensor:
    """Give images the mean and the standard deviation of `target` in each pixel, uint8.

    images  uint8 [N, C, H, W]

    A pixel that is the same in all images gets the target's mean alone: a constant has no shape
    that could be enlarged. The result is clipped to [0, 255] and rounded, so that a pixel whose
    values leave that range gets a little less than the target's deviation.
    """
    source = PixelMoments.of(images)
    is_constant = source.deviation == 0
    gain = torch.where(is_constant, 0.0, target.deviation / source.deviation)

    offset = (target.mean - source.mean * gain) * 255

    matched = torch.empty_like(images)
    for batch, rows in zip(images.split(BATCH), matched.split(BATCH), strict=True):
        restored = batch.double().mul_(gain).add_(offset)
        rows.copy_(restored.round_().clamp_(0, 255))
    return matched
