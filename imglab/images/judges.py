"""Judges: further networks that score the same samples, to see whether they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from imglab.errors import InputError, Problem
from imglab.images.classifier import Classifier
from imglab.images.extractor_settings import (
    ClassifierSettings,
    ClipSettings,
    DinoSettings,
    InceptionSettings,
    JudgeChoice,
    PixelsSettings,
    SelfSupervisedSettings,
)
from imglab.images.features import Inception, Pixels
from imglab.images.labelled import LabelledImages
from imglab.images.pretrained_features import Clip, Dino
from imglab.images.self_supervised import SelfSupervised
from imglab.measures import Measures
from imglab.metrics import PRDC, prdc
from imglab.metrics.comparison import MetricValues, Reference, withhold_recall
from imglab.modality import Extractor
from imglab.samples import Samples

NEIGHBOURS = {"precision_recall_k": 3, "density_coverage_k": 5}
BY_JUDGE = ("fid", "precision", "recall")
"""What each judge says of a generation, as `fid_by_judge` and so on."""


def build_extractor(
    section: JudgeChoice, classes: int, where: str, *, file: str | None = None
) -> Extractor:
    """Build an extractor that ships.

    classes  number of classes of the data; 0: none
    where    the config's key, for messages
    file     name of the weights' file in shared/, if it trains; default: its kind
    """
    # Networks that others have trained, and none at all.
    if isinstance(section, PixelsSettings):
        return Pixels()
    if isinstance(section, InceptionSettings):
        return Inception(section)
    if isinstance(section, DinoSettings):
        return Dino(section)
    if isinstance(section, ClipSettings):
        return Clip(section)

    if isinstance(section, SelfSupervisedSettings):
        return SelfSupervised(section, file=file or section.kind)
    if classes < 2:
        what = "the classifier learns from labels, and the data have fewer than two classes"
        remedy = "use `self_supervised`, `inception`, `dinov2`, `clip` or `pixels`"
        raise InputError(Problem(where, what, remedy))
    return Classifier(section, classes, file=file or section.kind)


def judge_name(section: JudgeChoice) -> str:
    """Name a judge as metrics.json does: by what its section says."""
    if isinstance(section, ClassifierSettings):
        return f"{section.network} {section.seed}"
    if isinstance(section, SelfSupervisedSettings):
        return f"{section.kind} {section.seed}"
    if isinstance(section, DinoSettings | ClipSettings):
        # A dot would lead into a table, in the name of a metric.
        return f"{section.kind} {section.name}".replace(".", "_")
    return section.kind


@dataclass
class Judges:
    """Networks that score samples against held-out real ones, each in its own features."""

    sections: Sequence[JudgeChoice]
    classes: int
    where: str
    _references: dict[str, Reference] = field(default_factory=dict)

    @cached_property
    def extractors(self) -> dict[str, Extractor]:
        """The judges by name; InputError if two have the same one, or one cannot be built."""
        extractors: dict[str, Extractor] = {}
        for number, section in enumerate(self.sections):
            name = judge_name(section)
            if name in extractors:
                what = f"two judges are {name!r}"
                raise InputError(Problem(self.where, what, "give them different seeds"))
            key = f"{self.where}.{number}"
            file = f"judge_{number}"
            extractors[name] = build_extractor(section, self.classes, key, file=file)
        return extractors

    def prepare(self, real: LabelledImages, shared: Path) -> None:
        """Train the judges on the real training set, or open their weights in `shared`."""
        for extractor in self.extractors.values():
            extractor.prepare(real, shared)

    def metrics(self, samples: Samples, *, held_out: Samples) -> Measures:
        """Return what each judge says: `fid_by_judge`, `precision_by_judge`, `recall_by_judge`.

        held_out  real images that the judges have not been trained on
        """
        tables: dict[str, dict[str, float | None]] = {f"{name}_by_judge": {} for name in BY_JUDGE}
        reasons: dict[str, str] = {}
        for judge, extractor in self.extractors.items():
            if judge not in self._references:
                self._references[judge] = Reference(extractor.features(held_out.data))

            scores = _scores(self._references[judge], samples, extractor)
            for name in BY_JUDGE:
                tables[f"{name}_by_judge"][judge] = scores.values[name]
                if name in scores.reasons:
                    reasons[f"{name}_by_judge.{judge}"] = scores.reasons[name]
        return Measures(tables, reasons)


def _scores(real: Reference, samples: Samples, extractor: Extractor) -> MetricValues:
    features = extractor.features(samples.data)
    scores = MetricValues()
    scores.add(("fid",), lambda: real.frechet(features)[:1])
    neighbours = partial(prdc, real=real.features, synthetic=features, **NEIGHBOURS)
    scores.add(PRDC._fields, neighbours)
    withhold_recall(scores)
    return scores
