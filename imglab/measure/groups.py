"""Scores of parts of a generation: what each model of several drew, and each class."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from imglab.measures import Measures
from imglab.metrics import PRDC, prdc
from imglab.metrics.comparison import MetricValues, Reference, compare
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

    values: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for metric in ("precision", "recall"):
        values[f"{metric}_by_class"] = {
            name: scores.values[metric] for name, scores in of_classes.items()
        }
        for name, scores in of_classes.items():
            if metric in scores.reasons:
                reasons[f"{metric}_by_class.{name}"] = scores.reasons[metric]
    return Measures(values, reasons)
