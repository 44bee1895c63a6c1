"""Images as a modality: real ones from a source, features from an extractor, a grid to look at."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from imglab.config.kinds import build_plug_in
from imglab.config.section import PlugIn
from imglab.errors import InputError, Problem
from imglab.images.data import load_real_images
from imglab.images.features import Classifier, Extractor, Inception, Pixels
from imglab.images.pretrained_features import Clip, Dino
from imglab.images.render import draw_grid, write_png
from imglab.images.settings import (
    ClassifierSettings,
    ClipSettings,
    DinoSettings,
    ImageSettings,
    InceptionSettings,
    PixelsSettings,
)
from imglab.images.watermark import SMALLEST_SIDE, z_scores
from imglab.measures import Measures
from imglab.modality import Judge, Modality, Spec, Split, WatermarkDetector
from imglab.model import Ability, GenerativeModel
from imglab.samples import Samples
from imglab.solvable.theory.tails import chances_alive

TENTHS = 10


class ImageModality(Modality):
    """Images uint8 [C, H, W], with class labels where the source has them."""

    def __init__(self, settings: ImageSettings) -> None:
        self._real = load_real_images(settings)
        self._classes = self._real.classes
        self._conditions = self._real.classes or self._real.prompts
        self._classifier = self._make_classifier(settings)
        self._extractor = self._make_extractor(settings)

    def prepare(self, shared: Path) -> None:
        """Train or load the extractor, and the classifier that counts classes."""
        self._extractor.prepare(self._real.train, shared)
        if self._classifier and self._classifier is not self._extractor:
            self._classifier.prepare(self._real.train, shared)

    @property
    def spec(self) -> Spec:
        """uint8 [C, H, W] and the names of the classes, or the prompts."""
        shape = tuple(self._real.train.images.shape[1:])
        return Spec(shape, torch.uint8, self._conditions, prompts=self._real.prompts is not None)

    @property
    def extractor(self) -> str:
        """Name and hash of the extractor."""
        return self._extractor.name

    def real(self, split: Split) -> Samples:
        """Return a split with its labels."""
        found = self._real.train if split == "train" else self._real.test
        return Samples.real(found.images, found.labels)

    def fresh(self, n: int, *, first: int, seed: int) -> Samples:
        """Return images of the part kept apart (`n_fresh`)."""
        found = self._real.fresh[first : first + n]
        if len(found) < n:
            raise ValueError(
                f"{first + n} fresh images asked for, modality.n_fresh keeps {len(self._real.fresh)}"
            )
        return Samples.real(found.images, found.labels)

    def fresh_available(self) -> int | None:
        """As many as `n_fresh` keeps apart."""
        return len(self._real.fresh)

    def features(self, samples: Samples) -> Tensor:
        """Return the extractor's features."""
        return self._extractor.features(samples.data)

    def metrics(
        self, samples: Samples, *, model: GenerativeModel, generation0: GenerativeModel, seed: int
    ) -> Measures:
        """Count classes and follow colour and contrast.

        class_counts    samples that the classifier assigns to each class
        classes_alive   classes with any
        class_survival  of each class: samples over those expected from its share of the real training set; None for
                        a class that this has none of
        class_survival_by_chance  the chance that any is left if each generation only drew classes by the frequencies
                        of the last one (multinomial resampling)
        tenth_survival  the same ratio for each tenth of the classes, the rarest first
        colour_drift    shift of the mean from the real training set's, root mean square over channels, in [0, 1]
        contrast_drift  relative change of the mean standard deviation within an image
        hue_drift, saturation_drift  of images in colour: turn of the mean hue in degrees, shift of the mean saturation
        clip_score      with the extractor `clip` and captions: how well each image fits its prompt, mean
        """
        (real_mean, real_contrast), (mean, contrast) = (
            _tone(part) for part in (self._real.train.images, samples.data)
        )
        values: dict[str, Any] = {
            "colour_drift": float((mean - real_mean).square().mean().sqrt()),
            "contrast_drift": float(contrast / real_contrast - 1) if real_contrast > 0 else None,
            "class_counts": None,
        }
        reasons = {} if real_contrast > 0 else {"contrast_drift": "the real images are constant"}
        colour, score = self._colour(samples), self._clip_score(samples)
        values |= {**colour.values, **score.values}
        reasons |= {**colour.reasons, **score.reasons}
        if self._classifier is None or self._classes is None:
            reasons["class_counts"] = "the real images have no labels to train a classifier on"
            return Measures(values, reasons, floor=score.floor)
        counts = torch.bincount(
            self._classifier.predict(samples.data), minlength=len(self._classes)
        )
        values["class_counts"] = dict(zip(self._classes, counts.tolist(), strict=True))
        return Measures({**values, **self._survival(counts, samples)}, reasons, floor=score.floor)

    def _colour(self, samples: Samples) -> Measures:
        if samples.data.shape[1] != 3:
            return Measures()
        hue, saturation = self._real_colour
        drawn_hue, drawn_saturation = mean_colour(samples.data)
        values: dict[str, float | None] = {
            "saturation_drift": drawn_saturation - saturation,
            "hue_drift": None,
        }
        if hue is None or drawn_hue is None:
            whose = "real images" if hue is None else "samples"
            return Measures(values, {"hue_drift": f"the {whose} are grey: they have no hue"})
        values["hue_drift"] = (drawn_hue - hue + 180) % 360 - 180
        return Measures(values)

    @cached_property
    def _real_colour(self) -> tuple[float | None, float]:
        return mean_colour(self._real.train.images)

    def _clip_score(self, samples: Samples) -> Measures:
        if not isinstance(self._extractor, Clip) or self._real.prompts is None:
            return Measures()
        if samples.condition is None:
            return Measures(
                {"clip_score": None}, {"clip_score": "the samples were not drawn from prompts"}
            )
        (mean, error), (real, real_error) = (
            self._scored(found.data, found.condition) for found in (samples, self.real("test"))
        )
        floor = {
            "clip_score": {
                "mean": real,
                "sd": real_error * (len(self._real.test) / len(samples)) ** 0.5,
            }
        }
        return Measures({"clip_score": mean, "clip_score_se": error}, floor=floor)

    def _scored(self, images: Tensor, prompts: Tensor | None) -> tuple[float, float]:
        assert isinstance(self._extractor, Clip)
        assert prompts is not None
        assert self._real.prompts is not None
        scores = self._extractor.scores(
            images, [self._real.prompts[number] for number in prompts.tolist()]
        )
        return float(scores.mean()), float(scores.std(correction=0) / len(scores) ** 0.5)

    def _survival(self, counts: Tensor, samples: Samples) -> dict[str, Any]:
        """How much is left of each class and of each tenth of the classes by real frequency, and what chance leaves."""
        assert self._classes is not None
        assert self._real.train.labels is not None
        real = torch.bincount(self._real.train.labels, minlength=len(self._classes)).double()
        share, n, t = real / real.sum(), len(samples), int(samples.origin[0]) + 1
        expected = share * n
        tenths = [part for part in real.argsort(stable=True).tensor_split(TENTHS) if len(part)]
        found: dict[str, Any] = {
            "classes_alive": int((counts > 0).sum()),
            "class_survival": dict(zip(self._classes, _ratios(counts, expected), strict=True)),
            "class_survival_by_chance": dict(
                zip(self._classes, chances_alive(share, n, t), strict=True)
            ),
        }
        if len(real) > TENTHS:  # of ten classes, each is a tenth
            found["tenth_survival"] = {
                f"{at + 1}": _ratios(counts[part].sum()[None], expected[part].sum()[None])[0]
                for at, part in enumerate(tenths)
            }
        return found

    def ability(self, wanted: type[Ability]) -> Ability | None:
        """Return itself, but no judge where there are no labels, no detector for tiny images."""
        if wanted is Judge and self._classifier is None:
            return None
        if wanted is WatermarkDetector and min(self.spec.shape[1:]) < SMALLEST_SIDE:
            return None
        return super().ability(wanted)

    def confidence(self, samples: Samples) -> Tensor:
        """Return the probability that the classifier gives a sample's label, or its most likely class, float [N]."""
        assert self._classifier is not None  # `ability` says so
        found = self._classifier.probabilities(samples.data)
        if samples.condition is None:
            return found.amax(1)
        return found.gather(1, samples.condition[:, None]).squeeze(1)

    def watermark_scores(self, samples: Samples, *, key: int) -> Tensor:
        """Return the z-score of the watermark of `key` in each image, float64 [N]."""
        return z_scores(samples.data, key=key)

    def read(self, samples: Samples) -> list[dict[str, str]] | None:
        """Return the classes, or prompts, that samples were drawn, or taken, as."""
        if samples.condition is None or self._conditions is None:
            return None
        return [{"label": self._conditions[label]} for label in samples.condition.tolist()]

    def export(self, samples: Samples, folder: Path) -> list[str]:
        """Write each sample as a PNG."""
        names = [f"{at:06d}.png" for at in range(len(samples))]
        for name, image in zip(names, samples.data, strict=True):
            write_png(image, folder / name)
        return names

    def render(self, shown: Sequence[Samples], path: Path) -> None:
        """Draw the last generation's images as a grid."""
        draw_grid(shown[-1].data, path)

    def _make_classifier(self, settings: ImageSettings) -> Classifier | None:
        if self._classes is None or len(self._classes) < 2:
            return None
        chosen = settings.extractor
        own = chosen if isinstance(chosen, ClassifierSettings) else ClassifierSettings()
        return Classifier(own, len(self._classes))

    def _make_extractor(self, settings: ImageSettings) -> Extractor:
        chosen = settings.extractor
        if isinstance(chosen, PixelsSettings):
            return Pixels()
        if isinstance(chosen, InceptionSettings):
            return Inception(chosen)
        if isinstance(chosen, DinoSettings):
            return Dino(chosen)
        if isinstance(chosen, ClipSettings):
            return Clip(chosen)
        if isinstance(chosen, PlugIn):
            return build_plug_in(chosen, Extractor, "modality.extractor")
        if self._classifier is None:
            what = "the classifier learns from labels, and the data have fewer than two classes"
            raise InputError(
                Problem("modality.extractor", what, "use `inception`, `dinov2`, `clip` or `pixels`")
            )
        return self._classifier


def _ratios(counts: Tensor, expected: Tensor) -> list[float | None]:
    """Counts over what was expected; None where the real data have none."""
    pairs = zip(counts.tolist(), expected.tolist(), strict=True)
    return [count / wanted if wanted else None for count, wanted in pairs]


def mean_colour(images: Tensor) -> tuple[float | None, float]:
    """Return the mean hue in degrees [0, 360), weighted by saturation, and the mean saturation, in [0, 1].

    images  uint8 [N, 3, H, W]; a hue of None: none has any colour
    """
    from matplotlib.colors import rgb_to_hsv

    turn, saturation, pixels = 0j, 0.0, 0
    for part in images.split(256):
        hsv = rgb_to_hsv(part.permute(0, 2, 3, 1).numpy() / 255.0)
        turn += complex((hsv[..., 1] * np.exp(2j * np.pi * hsv[..., 0])).sum())
        saturation += float(hsv[..., 1].sum())
        pixels += hsv[..., 0].size
    hue = None if saturation == 0 else float(np.degrees(np.angle(turn))) % 360
    return hue, saturation / pixels


def _tone(images: Tensor) -> tuple[Tensor, float]:
    """Mean of each channel [C] and mean standard deviation within an image, both in [0, 1]; a chunk at a time."""
    total, deviation = torch.zeros(images.shape[1], dtype=torch.float64), 0.0
    for part in images.split(1024):
        values = part.double() / 255
        total += values.mean((2, 3)).sum(0)
        deviation += float(values.flatten(1).std(1).sum())
    return total / len(images), deviation / len(images)
