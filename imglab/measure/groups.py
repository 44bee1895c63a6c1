"""Scores of parts of a generation: what each model of several drew, and each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from imglab.measures import Measures
from imglab.metrics import PRDC, Undefined, prdc
from imglab.metrics.class_counts import rate_disparity
from imglab.metrics.comparison import MetricValues, Reference, compare, withhold_recall
from imglab.modality import Spec
from imglab.samples import Samples


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

    of_classes: dict[str, MetricValues] = {}
    for number, name in enumerate(spec.conditions):
        of_classes[name] = MetricValues()
        compute = partial(
            prdc,
            real=real_features[real.condition == number],
            synthetic=features[samples.condition == number],
            **neighbours,
        )
        of_classes[name].add(PRDC._fields, compute)
        withhold_recall(of_classes[name])

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
