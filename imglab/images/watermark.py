"""An invisible mark that says which model drew an image, found without the original image.

It is a spread-spectrum watermark. Embedding follows Cox, Kilian, Leighton and Shamoon 1997, "Secure
spread spectrum watermarking for multimedia" (IEEE Transactions on Image Processing 6(12), eq. 1:
v' = v + alpha x). Blind detection by correlation follows Barni, Bartolini, Cappellini and Piva
1998, "A DCT-domain system for robust image watermarking" (Signal Processing 66(3)). Images are
whitened first, as in Hartung and Girod 1998, "Watermarking of uncompressed and compressed video"
(same issue). Deviations: the code is +-1 instead of Gaussian, over the DCT of the whole image, and
the correlation is normalised by its own length.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from imglab.errors import InputError, Problem
from imglab.seeds import generator

DEFAULT_STRENGTH = 4.0

SMALLEST_SIDE = 8
"""Pixels a side below which there are too few frequencies to mark."""

_BAND = (0.2, 1.0)
"""Radius of the marked frequencies; at 1 the grey level alternates from pixel to pixel."""

_FLOOR = 9.0
"""Grey levels squared, added to the local variance.

A small value trusts marks in flat areas, a large one expects noise there."""

_BLOCK = 1024
"""How many images are worked on at a time."""


def check_watermark(mark: object, shape: tuple[int, ...]) -> None:
    """Raise InputError where a model is to mark images, [C, H, W], that are too small for it."""
    if mark is None or min(shape[1:]) >= SMALLEST_SIDE:
        return
    what = f"images of {shape[2]} x {shape[1]} are too small for a mark"
    remedy = f"modality.size: {SMALLEST_SIDE} or more, or leave it out"
    raise InputError(Problem("model.watermark", what, remedy))


def embed(images: Tensor, *, key: int, strength: float = DEFAULT_STRENGTH) -> Tensor:
    """Return the images with the key's mark, uint8 [N, C, H, W] on their device.

    Each marked image depends on the image itself alone.

    images    uint8 [N, C, H, W], H and W at least 8
    strength  root mean square of the change in grey levels, before rounding; 0 changes nothing

    The change is clip(a p, -x, 255 - x) with pattern p and the gain `a` for which its size is
    `strength`: of all changes of this size within [0, 255] it correlates best with p. On black
    only the bright half of the pattern is left, and stronger. Raises ValueError for other shapes,
    dtypes or strengths.
    """
    _check(images)
    if not (math.isfinite(strength) and strength >= 0):
        raise ValueError(f"strength must be finite and not negative, not {strength}")
    pattern = _pattern(_signs(images.shape[1:], key))
    marked = [_add(block.cpu().double(), pattern, strength) for block in images.split(_BLOCK)]
    return torch.cat(marked).to(images.device)


def z_scores(images: Tensor, *, key: int) -> Tensor:
    """Return how strongly each image carries the key's mark, float64 [N].

    It is about N(0, 1) without the mark, and high with it.

    images  uint8 [N, C, H, W], H and W at least 8

    z = sum_k s_k t_k / sqrt(sum_k t_k^2), with signs s of the key and the band's coefficients t of
    the whitened image. For any image, over keys that did not mark it, z has mean 0, variance 1 and
    P(z >= c) <= exp(-c^2 / 2) (Hoeffding 1963, "Probability inequalities for sums of bounded random
    variables", JASA 58, theorem 2). Under one key the scores of images that are alike are alike
    too. An image without detail scores 0. Raises ValueError for other shapes or dtypes.
    """
    _check(images)
    signs = _signs(images.shape[1:], key)
    scores = [_correlate(block.cpu().double(), signs) for block in images.split(_BLOCK)]
    return torch.cat(scores).to(images.device)


def _check(images: Tensor) -> None:
    is_image = images.dtype == torch.uint8 and images.ndim == 4 and images.shape[1] > 0
    if not is_image or min(images.shape[2:]) < SMALLEST_SIDE:
        expected = f"uint8 [N, C, H, W], at least {SMALLEST_SIDE} pixels a side"
        raise ValueError(f"images must be {expected}, not {images.dtype} {list(images.shape)}")


def _signs(shape: torch.Size, key: int) -> Tensor:
    """Return the key's code, float64 [C, H, W].

    It is -1 or 1 at each DCT coefficient in the band, 0 elsewhere.
    """
    channels, height, width = shape
    bits = torch.randint(2, (channels, height, width), generator=generator(key, "watermark"))
    signs = bits * 2.0 - 1

    rows = torch.arange(height) / height
    columns = torch.arange(width) / width
    radius = torch.hypot(rows[:, None], columns[None])
    in_band = (radius >= _BAND[0]) & (radius <= _BAND[1])
    return (signs * in_band).double()


def _pattern(signs: Tensor) -> Tensor:
    """Return the code as an image of mean 0 and mean square 1, float64 [C, H, W]."""
    from scipy.fft import idctn

    pattern = torch.from_numpy(idctn(signs.numpy(), norm="ortho"))
    return pattern / pattern.square().mean().sqrt()


def _add(images: Tensor, pattern: Tensor, strength: float) -> Tensor:
    """Return float64 images as uint8, with the pattern added at the gain for the strength."""
    gain = torch.full((len(images), 1, 1, 1), strength, dtype=torch.float64)
    # The size of the change over the gain falls as more is clipped, so this climbs to the fixed
    # point from below.
    for _ in range(16):
        change = (images + gain * pattern).clamp(0, 255) - images
        size = change.square().mean((1, 2, 3), keepdim=True).sqrt()
        gain = gain * strength / size.clamp(min=1e-9)
    return (images + gain * pattern).clamp(0, 255).round().byte()


def _correlate(images: Tensor, signs: Tensor) -> Tensor:
    """Return the normalised correlation of whitened images with a code, float64 [N]."""
    from scipy.fft import dctn

    # Over channels too: colours share most of their detail, so the differences between them have
    # little noise.
    spectrum = torch.from_numpy(dctn(_whiten(images).numpy(), axes=(1, 2, 3), norm="ortho"))
    inside = spectrum.flatten(1)[:, signs.flatten() != 0]
    length = inside.square().sum(1).sqrt()
    return (inside * signs[signs != 0]).sum(1) / length.clamp(min=1e-300)


def _whiten(images: Tensor) -> Tensor:
    """Return detail over its local variance: an edge then weighs less than the mark beside it."""
    detail = images - _local_mean(images)
    return detail / (_local_mean(detail.square()) + _FLOOR)


def _local_mean(images: Tensor) -> Tensor:
    padded = functional.pad(images, (1, 1, 1, 1), mode="replicate")
    return functional.avg_pool2d(padded, 3, stride=1)
