"""What only images have to measure: contrast, colour, classes, and how well they fit captions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from imglab.images.pretrained_features import Clip
from imglab.measures import Measures
from imglab.samples import Samples
from imglab.solvable.theory.tails import chances_alive

PIXELS = 2**16
"""Pixels that are looked at together."""

TENTHS = 10
"""Groups of classes, from the rarest, whose survival is measured together."""


@dataclass(frozen=True)
class Tone:
    """How bright images are.

    means     mean of each channel, float64 [C], in [0, 1]
    contrast  mean standard deviation within an image, in [0, 1]
    """

    means: Tensor
    contrast: float


@dataclass(frozen=True)
class Colour:
    """Which colours images have.

    hue         mean hue in degrees, in [0, 360), weighted by saturation; None: there is no colour
    saturation  mean saturation, in [0, 1]
    """

    hue: float | None
    saturation: float


def measure_tone(images: Tensor) -> Tone:
    """Measure uint8 images [N, C, H, W], some at a time."""
    totals = torch.zeros(images.shape[1], dtype=torch.float64)
    deviation = 0.0
    for batch in images.split(_batch(images)):
        values = batch.float().flatten(2)

        # Pixels and their squares are whole numbers: float64 adds them up exactly.
        sums = values.sum(2, dtype=torch.float64)  # [B, C]
        squares = values.square_().sum((1, 2), dtype=torch.float64)
        totals += sums.sum(0)
        size = values[0].numel()
        spread = (squares - sums.sum(1).square() / size).clamp_(min=0)
        deviation += float((spread / (size - 1)).sqrt().sum())

    pixels = len(images) * images[0, 0].numel()
    return Tone(totals / pixels / 255, deviation / len(images) / 255)


def measure_colour(images: Tensor) -> Colour:
    """Measure uint8 images [N, 3, H, W], some at a time.

    A hue is an angle: hues are added as vectors that are as long as their saturation.
    """
    sectors = torch.zeros(3, dtype=torch.complex128)
    saturation = 0.0
    for batch in images.split(_batch(images)):
        red, green, blue = batch.float().unbind(1)
        largest = batch.amax(1)
        chroma = largest.float() - batch.amin(1)
        saturations = chroma / largest.clamp(min=1)
        saturation += float(saturations.sum(dtype=torch.float64))

        # The hue is within 60 degrees of the channel that is the largest.
        is_red = largest == batch[:, 0]
        is_green = (largest == batch[:, 1]) & ~is_red
        apart = torch.where(is_red, green - blue, torch.where(is_green, blue - red, red - green))
        angles = apart.div_(chroma.clamp_(min=1)).mul_(math.pi / 3)
        x = angles.cos().mul_(saturations)
        y = angles.sin_().mul_(saturations)
        for number, mask in enumerate((is_red, is_green, ~(is_red | is_green))):
            sums = [float((part * mask).sum(dtype=torch.float64)) for part in (x, y)]
            sectors[number] += complex(*sums)

    hue = None
    if saturation > 0:
        turns = torch.exp(2j * math.pi / 3 * torch.arange(3, dtype=torch.float64))
        hue = math.degrees(float((sectors * turns).sum().angle())) % 360
    return Colour(hue, saturation / (len(images) * images[0, 0].numel()))


def _batch(images: Tensor) -> int:
    """Return how many images are looked at together: few enough for a processor's cache."""
    return max(1, PIXELS // images[0, 0].numel())


def tone_metrics(images: Tensor, *, real: Tone) -> Measures:
    """Compare the tone of images with that of the real training images.

    colour_drift    shift of the mean, root mean square over channels, in [0, 1]
    contrast_drift  relative change of the contrast
    contrast_ratio  contrast over the real images' contrast
    """
    tone = measure_tone(images)
    values: dict[str, float | None] = {
        "colour_drift": float((tone.means - real.means).square().mean().sqrt()),
        "contrast_drift": None,
        "contrast_ratio": None,
    }
    if not real.contrast > 0:
        reason = "the real images are constant"
        return Measures(values, dict.fromkeys(("contrast_drift", "contrast_ratio"), reason))

    values["contrast_drift"] = float(tone.contrast / real.contrast - 1)
    values["contrast_ratio"] = float(tone.contrast / real.contrast)
    return Measures(values)


def colour_metrics(images: Tensor, *, real: Colour) -> Measures:
    """Compare the colours of images with those of the real training images.

    saturation_drift  shift of the mean saturation
    hue_drift         shift of the mean hue in degrees, in [-180, 180)
    """
    colour = measure_colour(images)
    values: dict[str, float | None] = {
        "saturation_drift": colour.saturation - real.saturation,
        "hue_drift": None,
    }

    if real.hue is None:
        return Measures(values, {"hue_drift": "the real images are grey: they have no hue"})
    if colour.hue is None:
        return Measures(values, {"hue_drift": "the samples are grey: they have no hue"})

    values["hue_drift"] = (colour.hue - real.hue + 180) % 360 - 180
    return Measures(values)


def clip_metrics(
    extractor: Clip, captions: Sequence[str], samples: Samples, *, held_out: Samples
) -> Measures:
    """Measure how well images fit their captions.

    captions    the texts that the samples' conditions count
    clip_score  mean CLIP score (`Clip.scores`); its floor is that of held-out real images
    """
    if samples.condition is None:
        reason = "the samples were not drawn from prompts"
        return Measures({"clip_score": None}, {"clip_score": reason})

    mean, error = _clip_score(extractor, captions, samples)
    real_mean, real_error = _clip_score(extractor, captions, held_out)

    # An error goes with the root of the number of images, here from held-out to drawn ones.
    scale = (len(held_out) / len(samples)) ** 0.5
    floor = {"clip_score": {"mean": real_mean, "sd": real_error * scale}}
    return Measures({"clip_score": mean, "clip_score_se": error}, floor=floor)


def _clip_score(extractor: Clip, captions: Sequence[str], samples: Samples) -> tuple[float, float]:
    """Return the mean CLIP score and its standard error."""
    assert samples.condition is not None
    prompts = [captions[number] for number in samples.condition.tolist()]
    scores = extractor.scores(samples.data, prompts)
    return float(scores.mean()), float(scores.std(correction=0) / len(scores) ** 0.5)


def class_metrics(
    labels: Tensor, classes: Sequence[str], *, real: Tensor, generation: int
) -> Measures:
    """Measure how much is left of each class.

    labels      the class of each sample, int64 [N]
    real        the class of each real training image, int64 [M]
    generation  which one drew the samples

    class_counts              samples of each class
    classes_alive             number of classes with any sample
    class_survival            samples of each class over those expected from the class's share of
                              the real images; None for a class without real images
    class_survival_by_chance  chance that a class still has any sample if each generation only drew
                              classes by the frequencies of the last one (multinomial resampling)
    tenth_survival            `class_survival` of tenths of the classes, the rarest first
    """
    counts = torch.bincount(labels, minlength=len(classes))
    frequencies = torch.bincount(real, minlength=len(classes)).double()
    shares = frequencies / frequencies.sum()
    expected = shares * len(labels)
    by_chance = chances_alive(shares, len(labels), generation + 1)

    values: dict[str, Any] = {
        "class_counts": dict(zip(classes, counts.tolist(), strict=True)),
        "classes_alive": int((counts > 0).sum()),
        "class_survival": dict(zip(classes, _ratios(counts, expected), strict=True)),
        "class_survival_by_chance": dict(zip(classes, by_chance, strict=True)),
    }
    if len(classes) > TENTHS:  # otherwise each tenth is a class, or less
        values["tenth_survival"] = _tenth_survival(counts, expected, frequencies)
    return Measures(values)


def _tenth_survival(
    counts: Tensor, expected: Tensor, frequencies: Tensor
) -> dict[str, float | None]:
    tenths = frequencies.argsort(stable=True).tensor_split(TENTHS)
    in_counts = torch.stack([counts[tenth].sum() for tenth in tenths])
    in_expected = torch.stack([expected[tenth].sum() for tenth in tenths])
    ratios = _ratios(in_counts, in_expected)
    return {str(number): ratio for number, ratio in enumerate(ratios, 1)}


def _ratios(counts: Tensor, expected: Tensor) -> list[float | None]:
    """Return counts over expected counts; None where none are expected."""
    ratios: list[float | None] = []
    for count, of_expected in zip(counts.tolist(), expected.tolist(), strict=True):
        ratio = None
        if of_expected:
            ratio = count / of_expected
        ratios.append(ratio)
    return ratios
