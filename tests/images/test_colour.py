"""Tone and colour against plain definitions: colorsys and numpy, one image after the other."""

from __future__ import annotations

import cmath
import colorsys
import math

import numpy as np
import pytest
import torch

from imglab.images.metrics import measure_colour, measure_tone


def random_images(n: int, side: int, levels: int = 256) -> torch.Tensor:
    """Images of random pixels of few levels: many are grey, or have two equal channels."""
    generator = torch.Generator().manual_seed(levels)
    pixels = torch.randint(levels, (n, 3, side, side), generator=generator)
    return (pixels * 255 // (levels - 1)).byte()


@pytest.mark.parametrize("levels", [2, 3, 256])
def test_colour_is_that_of_colorsys(levels):
    images = random_images(5, 9, levels)
    vector = 0j
    saturation = 0.0
    for red, green, blue in (images.permute(0, 2, 3, 1).reshape(-1, 3) / 255).tolist():
        hue, weight, _ = colorsys.rgb_to_hsv(red, green, blue)
        vector += weight * cmath.exp(2j * math.pi * hue)
        saturation += weight

    colour = measure_colour(images)
    assert colour.hue == pytest.approx(math.degrees(cmath.phase(vector)) % 360, rel=1e-6)
    assert colour.saturation == pytest.approx(saturation / (5 * 81), rel=1e-6)


def test_grey_images_have_no_hue():
    grey = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(2, 3, 16, 16)
    colour = measure_colour(grey)
    assert colour.hue is None
    assert colour.saturation == 0


@pytest.mark.parametrize(("channels", "hue"), [((255, 0, 0), 0), ((0, 255, 0), 120)])
def test_pure_colours(channels, hue):
    image = torch.tensor(channels, dtype=torch.uint8).view(1, 3, 1, 1).expand(3, 3, 4, 4)
    colour = measure_colour(image)
    assert colour.hue == pytest.approx(hue)
    assert colour.saturation == 1


def test_tone_is_that_of_numpy():
    images = random_images(300, 16)
    tone = measure_tone(images)
    values = images.numpy() / 255.0
    assert tone.means.numpy() == pytest.approx(values.mean((0, 2, 3)), rel=1e-12)
    contrast = values.reshape(300, -1).std(1, ddof=1).mean()
    assert tone.contrast == pytest.approx(float(np.float64(contrast)), rel=1e-12)
