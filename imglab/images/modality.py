"""Images as a modality: real ones from a source, features from an extractor, a grid to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor

from imglab.config.given import with_given
from imglab.config.kinds import build_plug_in
from imglab.config.section import PlugIn
from imglab.groups import Grouped, Groups
from imglab.images.class_counting import ClassCounting
from imglab.images.classifier import Classifier
from imglab.images.damage import image_damages
from imglab.images.data import load_real_images
from imglab.images.extractor_settings import (
    ClassifierSettings,
    JudgeChoice,
    SelfSupervisedSettings,
)
from imglab.images.given import read_given
from imglab.images.group_counting import GroupCounting
from imglab.images.judges import Judges, build_extractor
from imglab.images.labelled import SourceImages
from imglab.images.metrics import (
    Colour,
    Tone,
    clip_metrics,
    colour_metrics,
    measure_colour,
    measure_tone,
    tone_metrics,
)
from imglab.images.moments import PixelMoments, match_moments
from imglab.images.pretrained_features import Clip
from imglab.images.render import draw_grid, write_png
from imglab.images.settings import ImageSettings
from imglab.images.source_settings import DigitsSource, Mnist5kSource
from imglab.images.watermark import SMALLEST_SIDE, z_scores
from imglab.measures import Measures
from imglab.modality import Damage, Extractor, Judge, Modality, Spec, Split, WatermarkDetector
from imglab.model import Ability, GenerativeModel, ignores_generation0
from imglab.samples import Samples

WHERE = "modality.extractor"


class ImageModality(Modality):
    """Images uint8 [C, H, W], with class labels or captions if the source has them."""

    gate: ClassVar[Mapping[str, float]] = MappingProxyType(
        {"variance_ratio": 0.95, "excess_fid": 1.0, "precision": 0.05, "recall": 0.05}
    )

    def __init__(self, settings: ImageSettings, source: SourceImages | None = None) -> None:
        """Read the source that the settings name; `source` holds images that were read already."""
        self._real = load_real_images(settings, source)
        if not isinstance(settings.source, DigitsSource | Mnist5kSource):  # which all know
            self.data_line = self._real.summary.line()
        self._conditions = self._real.classes or self._real.prompts
        self._given = read_given(settings, self._real, self.spec)
        self.data_line = with_given(self.data_line, self._given, "images")
        self._classifier = self._make_classifier(settings)
        self._extractor = self._make_extractor(settings)
        self._counting = self._make_counting(settings)
        self._group_counting: GroupCounting | None = None
        if self._real.groups is not None:
            self._group_counting = GroupCounting(_classifier_settings(settings), self._real.groups)
        self._judges = Judges(settings.judges, len(self._real.classes or ()), "modality.judges")
        _ = self._judges.extractors  # names what is wrong with them

    def prepare(self, shared: Path) -> None:
        """Train or load the extractor, the judges, and the classifiers that count classes."""
        self._extractor.prepare(self._real.train, shared)
        if self._classifier and self._classifier is not self._extractor:
            self._classifier.prepare(self._real.train, shared)
        if self._counting is not None:
            self._counting.prepare(self._real, shared)
        if self._group_counting is not None:
            self._group_counting.prepare(self._real, shared)
        self._judges.prepare(self._real.train, shared)

    @property
    def spec(self) -> Spec:
        """uint8 [C, H, W] and the names of the classes, or the prompts."""
        shape = tuple(self._real.train.images.shape[1:])
        has_prompts = self._real.prompts is not None
        return Spec(shape, torch.uint8, self._conditions, prompts=has_prompts)

    @property
    def extractor(self) -> Extractor:
        """The extractor that the settings choose."""
        return self._extractor

    def ability(self, wanted: type[Ability]) -> Ability | None:
        """Return what provides an ability.

        Data without labels have no judge, those without a column of groups are not grouped, and
        images that are too small to carry a watermark have no detector.
        """
        if wanted is Judge and self._classifier is None:
            return None
        if wanted is WatermarkDetector and min(self.spec.shape[1:]) < SMALLEST_SIDE:
            return None
        if wanted is Grouped and self._real.groups is None:
            return None
        return super().ability(wanted)

    def confidence(self, samples: Samples) -> Tensor:
        """Return how certain the classifier is of each sample, in [0, 1], float [N]."""
        assert self._classifier is not None  # `ability` says so
        return self._classifier.confidence(samples)

    def real(self, split: Split) -> Samples:
        """Return a split with its labels."""
        labelled = self._real.test
        if split == "train":
            labelled = self._real.train
        return Samples.real(labelled.images, labelled.labels)

    def groups(self, split: Split) -> Groups:
        """Return the groups that the column `groups` names."""
        labelled = self._real.train if split == "train" else self._real.test
        assert self._real.groups is not None  # `ability` says so
        assert labelled.groups is not None
        return Groups(self._real.groups, labelled.groups)

    def damages(self) -> list[Damage]:
        """Return the damages of images."""
        return image_damages(self.real("train"))

    def fresh(self, n: int, *, first: int, seed: int) -> Samples:
        """Return images of the part that is held back (`n_fresh`)."""
        labelled = self._real.fresh[first : first + n]
        if len(labelled) < n:
            available = len(self._real.fresh)
            raise ValueError(
                f"{first + n} fresh images asked for, modality.n_fresh holds back {available}"
            )
        return Samples.real(labelled.images, labelled.labels)

    def fresh_available(self) -> int:
        """Return how many images `n_fresh` holds back."""
        return len(self._real.fresh)

    @ignores_generation0
    def metrics(
        self, samples: Samples, *, model: GenerativeModel, generation0: GenerativeModel, seed: int
    ) -> Measures:
        """Return `sample_metrics`: no metric of images needs the model."""
        return self.sample_metrics(samples)

    def sample_metrics(self, samples: Samples) -> Measures:
        """Compare tone, colours and classes with the real images, and images with their captions.

        `imglab.images.metrics` defines each metric.
        """
        parts = [tone_metrics(samples.data, real=self._real_tone)]

        # The class counts come here in metrics.json, although they are computed last.
        parts.append(Measures({"class_counts": None}))
        if samples.data.shape[1] == 3:
            parts.append(colour_metrics(samples.data, real=self._real_colour))

        prompts = self._real.prompts
        if isinstance(self._extractor, Clip) and prompts is not None:
            held_out = self.real("test")
            parts.append(clip_metrics(self._extractor, prompts, samples, held_out=held_out))
        parts.append(self._class_metrics(samples))
        if self._group_counting is not None:
            parts.append(self._group_counting.metrics(samples))
        if self._judges.sections:
            parts.append(self._judges.metrics(samples, held_out=self.real("test")))
        return Measures.joined(parts)

    def _class_metrics(self, samples: Samples) -> Measures:
        if self._counting is None:
            reason = "the real images have no labels to train a classifier on"
            return Measures({"class_counts": None}, {"class_counts": reason})
        return self._counting.metrics(samples)

    def matched(self, samples: Samples, real: Samples) -> Samples:
        """Return the samples with the real ones' mean and standard deviation of each pixel."""
        data = match_moments(samples.data, target=PixelMoments.of(real.data))
        return replace(samples, data=data)

    def variance(self, samples: Samples) -> float:
        """Return the unbiased variance of the pixels in [0, 1], summed over them."""
        variance = PixelMoments.of(samples.data).variance
        return variance * len(samples) / max(1, len(samples) - 1)

    def judges(self, sections: Sequence[JudgeChoice], where: str, shared: Path) -> Judges:
        """Return further judges, trained on the real training set; `where` names them in messages.

        shared  folder of their weights
        """
        judges = Judges(sections, len(self._real.classes or ()), where)
        judges.prepare(self._real.train, shared)
        return judges

    @cached_property
    def _real_tone(self) -> Tone:
        return measure_tone(self._real.train.images)

    @cached_property
    def _real_colour(self) -> Colour:
        return measure_colour(self._real.train.images)

    def synthetic(self) -> Mapping[str, Samples]:
        """Return the synthetic images that the settings name, by label."""
        return self._given

    def watermark_scores(self, samples: Samples, *, key: int) -> Tensor:
        """Return the z-score of the watermark of `key` in each image, float64 [N]."""
        return z_scores(samples.data, key=key)

    def read(self, samples: Samples) -> list[dict[str, str]] | None:
        """Return the class or the prompt of each sample."""
        if samples.condition is None or self._conditions is None:
            return None
        return [{"label": self._conditions[label]} for label in samples.condition.tolist()]

    def export(self, samples: Samples, folder: Path) -> list[str]:
        """Write each sample as a PNG."""
        names = [f"{number:06d}.png" for number in range(len(samples))]
        for name, image in zip(names, samples.data, strict=True):
            write_png(image, folder / name)
        return names

    def render(self, shown: Sequence[Samples], path: Path) -> None:
        """Draw the last generation's images as a grid."""
        draw_grid(shown[-1].data, path)

    def _make_classifier(self, settings: ImageSettings) -> Classifier | None:
        """Return the classifier that the extractor's section describes, or one of the defaults."""
        classes = self._real.classes
        if classes is None or len(classes) < 2:
            return None

        return Classifier(_classifier_settings(settings), len(classes))

    def _make_extractor(self, settings: ImageSettings) -> Extractor:
        section = settings.extractor
        if isinstance(section, PlugIn):
            return build_plug_in(section, Extractor, WHERE)

        # By default the labels teach the extractor, where there are any.
        uses_labels = section is None or isinstance(section, ClassifierSettings)
        if self._classifier is not None and uses_labels:
            return self._classifier
        if section is None:
            section = SelfSupervisedSettings()
        return build_extractor(section, len(self._real.classes or ()), WHERE)

    def _make_counting(self, settings: ImageSettings) -> ClassCounting | None:
        if self._classifier is None:
            return None

        assert self._real.classes is not None
        section = _classifier_settings(settings)
        return ClassCounting(self._classifier, section, self._real.classes)


def _classifier_settings(settings: ImageSettings) -> ClassifierSettings:
    """Return the extractor's section if it is a classifier's, else the default one."""
    if isinstance(settings.extractor, ClassifierSettings):
        return settings.extractor
    return ClassifierSettings()
