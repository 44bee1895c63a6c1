"""Known damage to real images, by which metrics are calibrated."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from imglab import seeds
from imglab.metrics.damage import (
    MOST_DROPPED,
    draw,
    draw_without,
    partly_replaced,
    repeated,
    thinnest,
)
from imglab.modality import Damage
from imglab.samples import Samples

Change = Callable[[Tensor, float, torch.Generator], Tensor]
"""Changes images, uint8 [N, C, H, W] to float in grey levels, at a strength."""

MOST_FADED = 0.5
BRIGHTER = 64.0
NOISIEST = 64.0
"""Grey levels, out of 255."""
BEST_QUALITY = 95
WORST_QUALITY = 5
"""Qualities of JPEG."""
SMALL_NOISE = 2.0
"""Grey levels of the noise on memorized images."""
THINNED = 0.9
"""Share of a class that is left out at strength 1."""


def image_damages(train: Samples) -> list[Damage]:
    """Return every damage of images; `train` are the real training images."""
    changes = [
        ("fade", "contrast within each image falls by 50% x strength", _fade),
        ("brighten", "64 x strength grey levels are added, up to white", _brighten),
        ("blur", "normal blur of strength x max(1, side / 16) pixels", _blur),
        ("noise", "normal noise of 64 x strength grey levels", _noise),
        ("blocks", "JPEG of quality 95 - 90 x strength", _blocks),
        ("shuffle_quarters", "the quarters of a share `strength` of the images move", _quarters),
    ]
    damages = [Damage(name, text, partial(_changed, change)) for name, text, change in changes]

    memorise = partial(_memorised, train)
    return [
        *damages,
        Damage("drop_class", "40% x strength of the classes are left out, at least one", _dropped),
        Damage("thin_class", "90% x strength of the images of one class are left out", _thinned),
        Damage("drop_rare", "40% x strength are left out, those in the thinnest regions", _no_rare),
        Damage("duplicate", "90% x strength of the images are repeats of others", repeated),
        Damage("memorise", "a share `strength` are training images with slight noise", memorise),
        Damage("mix_in", "a share `strength` are procedural textures", _mixed),
    ]


def _changed(change: Change, pool: Samples, n: int, *, strength: float, seed: int) -> Samples:
    """Draw n images and change each of them."""
    samples = draw(pool, n, seed=seed)
    changed = change(samples.data, strength, seeds.generator(seed, "change"))
    return replace(samples, data=_bytes(changed))


def _bytes(images: Tensor) -> Tensor:
    return images.round().clamp(0, 255).to(torch.uint8)


def _fade(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    values = images.float()
    mean = values.mean((2, 3), keepdim=True)
    return mean + (values - mean) * (1 - MOST_FADED * strength)


def _brighten(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    return images.float() + BRIGHTER * strength


def _blur(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    from torchvision.transforms.v2.functional import gaussian_blur

    side = min(images.shape[2:])
    sigma = strength * max(1.0, side / 16)

    # Three standard deviations on each side, as far as the image can be mirrored.
    reach = min(math.ceil(3 * sigma), side - 1)
    if reach < 1:
        return images.float()
    size = 2 * reach + 1
    blurred: Tensor = gaussian_blur(images.float(), [size, size], [sigma, sigma])
    return blurred


def _noise(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    return images.float() + NOISIEST * strength * torch.randn(images.shape, generator=generator)


def _blocks(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    quality = round(BEST_QUALITY - (BEST_QUALITY - WORST_QUALITY) * strength)
    if images.shape[1] == 3:
        coded = [_jpeg(image.permute(1, 2, 0).numpy(), quality) for image in images]
        return torch.from_numpy(np.stack(coded)).permute(0, 3, 1, 2).float()

    channels = images.flatten(0, 1)
    coded = [_jpeg(channel.numpy(), quality) for channel in channels]
    return torch.from_numpy(np.stack(coded)).view(images.shape).float()


def _jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Encode an image, uint8 [H, W] or [H, W, 3], and decode it again."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=quality)
    buffer.seek(0)
    with Image.open(buffer) as decoded:
        return np.asarray(decoded)


def _quarters(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Turn the four quarters of some images by one place, so that each one moves."""
    if min(images.shape[2:]) < 2:
        raise ValueError("the images are too small to have quarters")
    moved = images.float()
    rows = torch.arange(round(strength * len(images)))  # the images come in a random order

    height = images.shape[2] // 2
    width = images.shape[3] // 2
    places = [(0, 0), (0, width), (height, width), (height, 0)]
    for (top, left), (from_top, from_left) in zip(places, places[1:] + places[:1], strict=True):
        quarter = images[rows, :, from_top : from_top + height, from_left : from_left + width]
        moved[rows, :, top : top + height, left : left + width] = quarter.float()
    return moved


def _classes(pool: Samples) -> tuple[Tensor, Tensor]:
    """Return the class of each sample, int64 [N], and the classes that occur, at least two."""
    if pool.condition is None or pool.condition.dim() != 1:
        raise ValueError("the images have no classes")
    classes = pool.condition.unique()
    if len(classes) < 2:
        raise ValueError("the images have fewer than two classes")
    return pool.condition, classes


def _dropped(pool: Samples, n: int, *, strength: float, seed: int) -> Samples:
    labels, classes = _classes(pool)
    order = torch.randperm(len(classes), generator=seeds.generator(seed, "classes"))
    count = max(1, round(MOST_DROPPED * strength * len(classes)))
    dropped = torch.isin(labels, classes[order[:count]])
    return draw_without(pool, n, dropped=dropped, seed=seed)


def _thinned(pool: Samples, n: int, *, strength: float, seed: int) -> Samples:
    labels, classes = _classes(pool)
    generator = seeds.generator(seed, "classes")
    chosen = classes[torch.randint(len(classes), (1,), generator=generator)]
    is_late = torch.rand(len(pool), generator=generator) < THINNED * strength
    return draw_without(pool, n, dropped=(labels == chosen) & is_late, seed=seed)


def _no_rare(pool: Samples, n: int, *, strength: float, seed: int) -> Samples:
    dropped = thinnest(pool.data.flatten(1).float() / 255, MOST_DROPPED * strength)
    return draw_without(pool, n, dropped=dropped, seed=seed)


def _memorised(train: Samples, pool: Samples, n: int, *, strength: float, seed: int) -> Samples:
    copies = draw(train, min(n, len(train)), seed=seed)
    noise = torch.randn(copies.data.shape, generator=seeds.generator(seed, "slight noise"))
    noisy = replace(copies, data=_bytes(copies.data.float() + SMALL_NOISE * noise))
    return partly_replaced(pool, n, others=noisy, share=strength, seed=seed)


def _mixed(pool: Samples, n: int, *, strength: float, seed: int) -> Samples:
    """Mix in textures, which say of each what class a real image has in its place."""
    samples = draw(pool, n, seed=seed)
    count = round(strength * n)
    shape: Sequence[int] = samples.data.shape[1:]
    data = samples.data.clone()
    data[:count] = textures(count, shape, seed=seed)
    return replace(samples, data=data)


def textures(n: int, shape: Sequence[int], *, seed: int) -> Tensor:
    """Draw n images of waves of random direction, length, phase and contrast, uint8 [n, C, H, W].

    shape  C, H, W
    """
    channels, height, width = shape
    generator = seeds.generator(seed, "textures")
    angle, length, phase, contrast = torch.rand(4, n, 1, 1, 1, generator=generator).unbind()
    colour = torch.rand(n, channels, 1, 1, generator=generator)

    down = torch.arange(height).view(1, 1, -1, 1) / height
    right = torch.arange(width).view(1, 1, 1, -1) / width
    along = right * (math.pi * angle).cos() + down * (math.pi * angle).sin()
    waves = (2 * math.pi * ((1 + 3 * length) * along + phase)).sin()
    return _bytes(255 * (0.5 + 0.5 * (0.3 + 0.7 * contrast) * waves) * (0.5 + 0.5 * colour))
