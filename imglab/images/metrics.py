"""What only images have to measure: contrast, colour, classes, and how well they fit captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from imglab.images.pretrained_features import Clip
from imglab.measures import Measures
from imglab.samples import Samples
from imglab.solvable.theory.tails import chances_alive

TONE_BATCH = 1024
COLOUR_BATCH = 256

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
    """Measure uint8 images [N, C, H, W], a batch at a time."""
    means = torch.zeros(images.shape[1], dtype=torch.float64)
    deviation = 0.0
    for batch in images.split(TONE_BATCH):
        values = batch.double() / 255
        means += values.mean((2, 3)).sum(0)
        deviation += float(values.flatten(1).std(1).sum())
    return Tone(means / len(images), deviation / len(images))


def measure_colour(images: Tensor) -> Colour:
    """Measure uint8 images [N, 3, H, W], a batch at a time."""
    from matplotlib.colors import rgb_to_hsv

    # A hue is an angle: hues are added as vectors that are as long as their saturation.
    vector = 0j
    saturation = 0.0
    pixels = 0
    for batch in images.split(COLOUR_BATCH):
        hsv = rgb_to_hsv(batch.permute(0, 2, 3, 1).numpy() / 255.0)
        vector += complex((hsv[..., 1] * np.exp(2j * np.pi * hsv[..., 0])).sum())
        saturation += float(hsv[..., 1].sum())
        pixels += hsv[..., 0].size

    hue = None
    if saturation > 0:
        hue = float(np.degrees(np.angle(vector))) % 360
    return Colour(hue, saturation / pixels)


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
