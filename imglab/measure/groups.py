"""Scores of parts of a generation: what each model of several drew, and each class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from imglab.measure.floors import orders
from imglab.measures import Measures
from imglab.metrics import PRDC, Undefined, prdc
from imglab.metrics.class_counts import rate_disparity
from imglab.metrics.comparison import MetricValues, Reference, compare, spread, withhold_recall
from imglab.modality import Modality, Spec, Split
from imglab.samples import Samples

SPLITS = 20
"""Random splits of the real data, at most, behind the floor of the classes' disparity."""


def by_source(
    real: Reference, samples: Samples, features: Tensor, neighbours: Mapping[str, int]
) -> Measures:
    """Score what each model of several drew by itself; sizes differ, so without floors."""
    numbers = torch.unique(samples.source).tolist()
    if len(numbers) < 2:
        return Measures()

    of_sources: dict[str, MetricValues] = {}
    for number in numbers:
        drawn = features[samples.source == number]
        of_sources[str(number)] = compare(real=real, synthetic=drawn, errors=False, **neighbours)

    values: dict[str, Any] = {}
    for name in ("fid", "precision", "recall"):
        values[f"{name}_by_source"] = {
            number: scores.values[name] for number, scores in of_sources.items()
        }
    values["source_counts"] = {
        str(number): int((samples.source == number).sum()) for number in numbers
    }
    return Measures(values)


def by_class(
    spec: Spec,
    real: Samples,
    samples: Samples,
    *,
    real_features: Tensor,
    features: Tensor,
    neighbours: Mapping[str, int],
) -> Measures:
    """Score the samples of each class against the real ones; small sets, so without floors."""
    if spec.conditions is None or spec.prompts or real.condition is None:
        return Measures()
    if samples.condition is None or samples.condition.dim() != 1:
        return Measures()
    of_classes = _of_classes(
        spec.conditions,
        real=(real_features, real.condition),
        synthetic=(features, samples.condition),
        neighbours=neighbours,
    )

    values: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for metric in ("precision", "recall"):
        values[f"{metric}_by_class"] = {
            name: scores.values[metric] for name, scores in of_classes.items()
        }
        for name, scores in of_classes.items():
            if metric in scores.reasons:
                reasons[f"{metric}_by_class.{name}"] = scores.reasons[metric]
    of_recall = _recall_disparity(spec.conditions, real.condition, of_classes)
    return Measures.joined([Measures(values, reasons), of_recall])


def _of_classes(
    names: Sequence[str],
    *,
    real: tuple[Tensor, Tensor],
    synthetic: tuple[Tensor, Tensor],
    neighbours: Mapping[str, int],
) -> dict[str, MetricValues]:
    """Score each class by itself, given features, float32 [N, D], and classes, int64 [N]."""
    of_classes: dict[str, MetricValues] = {}
    for number, name in enumerate(names):
        of_classes[name] = MetricValues()
        compute = partial(
            prdc,
            real=real[0][real[1] == number],
            synthetic=synthetic[0][synthetic[1] == number],
            **neighbours,
        )
        of_classes[name].add(PRDC._fields, compute)
        withhold_recall(of_classes[name])
    return of_classes


class ClassScores:
    """Scores each class of a generation, beside what real data score against real data."""

    def __init__(
        self, modality: Modality, reference: Split, neighbours: Mapping[str, int], splits: int
    ) -> None:
        """Take the real data.

        reference   the real split that samples are scored against
        neighbours  the keys of `prdc`
        splits      of the real data behind the floor, of which the first `SPLITS` are used
        """
        self._modality = modality
        self._reference = reference
        self._neighbours = neighbours
        self._splits = min(splits, SPLITS)
        self._floors: dict[int, Mapping[str, Any] | None] = {}

    def scores(
        self, samples: Samples, features: Tensor, real_features: Callable[[Split], Tensor]
    ) -> Measures:
        """Return `by_class`, with the floor of `recall_disparity`: of several classes that are all
        alike, one is recalled the least by chance.

        features       of the samples, float32 [N, D]
        real_features  returns those of a real split
        """
        scores = by_class(
            self._modality.spec,
            self._modality.real(self._reference),
            samples,
            real_features=real_features(self._reference),
            features=features,
            neighbours=self._neighbours,
        )
        if "recall_disparity" not in scores.values:
            return scores
        if len(samples) not in self._floors:
            pool = torch.cat([real_features("train"), real_features("test")])
            self._floors[len(samples)] = self._floor(pool, len(samples))
        return replace(scores, floor={"recall_disparity": self._floors[len(samples)]})

    def _floor(self, pool: Tensor, n_synthetic: int) -> Mapping[str, Any] | None:
        """Return the disparity of real samples against others; `pool` has the features of all."""
        n_real = len(self._modality.real(self._reference))
        train = self._modality.real("train").condition
        test = self._modality.real("test").condition
        if train is None or test is None or len(pool) < n_real + n_synthetic:
            return None
        classes = torch.cat([train, test])
        names = self._modality.spec.conditions or ()

        disparities: list[float | None] = []
        for order in orders(len(pool), self._splits):
            real = order[:n_real]
            synthetic = order[n_real : n_real + n_synthetic]
            of_classes = _of_classes(
                names,
                real=(pool[real], classes[real]),
                synthetic=(pool[synthetic], classes[synthetic]),
                neighbours=self._neighbours,
            )
            measures = _recall_disparity(names, classes[real], of_classes)
            disparities.append(measures.values["recall_disparity"])
        return spread(disparities)


def _recall_disparity(
    names: Sequence[str], classes: Tensor, scores: Mapping[str, MetricValues]
) -> Measures:
    """Compare the recall of the worst class with the mean over the classes.

    names, classes  of the real samples: what `classes`, int64 [N], counts
    scores          of each class; one that is too small is left out, and one whose recall is
                    withheld, since its samples lie elsewhere, has lost all

    recall_disparity           least recall of a class over the mean recall of the classes
    recall_disparity_interval  its 95% interval
    recall_disparity_class     which class it is
    """
    totals = torch.bincount(classes, minlength=len(names))
    totals[[scores[name].values["precision"] is None for name in names]] = 0
    recall = [scores[name].values["recall"] or 0.0 for name in names]
    rates = torch.tensor(recall, dtype=torch.float64)
    try:
        disparity = rate_disparity((rates * totals).round(), totals)
    except Undefined as reason:
        return Measures({"recall_disparity": None}, {"recall_disparity": str(reason)})

    values = {
        "recall_disparity": disparity.value,
        "recall_disparity_interval": [disparity.low, disparity.high],
        "recall_disparity_class": names[disparity.worst],
    }
    return Measures(values)
