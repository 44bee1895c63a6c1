"""All metrics that compare the features of real and of synthetic samples, computed together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from imglab.metrics.frechet import Moments, frechet_of_moments
from imglab.metrics.kernel import kernel_distance
from imglab.metrics.prdc import PRDC, prdc
from imglab.metrics.undefined import Undefined, check_features
from imglab.metrics.vendi import vendi_score

DISTRIBUTION = ("fid", "kid", "precision", "recall", "density", "coverage", "vendi")
"""Metrics that have a floor: real against real at the same two sizes."""


@dataclass(frozen=True)
class Reference:
    """The features of real data, float32 [N, D], and their moments once they are asked for."""

    features: Tensor

    @cached_property
    def moments(self) -> Moments:
        """Mean and covariance."""
        return Moments.of(self.features)

    def frechet(self, synthetic: Tensor) -> list[float]:
        """Return the Fréchet distance to synthetic features; Undefined with fewer than two rows."""
        check_features(real=self.features, synthetic=synthetic, at_least=2)
        return [frechet_of_moments(real=self.moments, synthetic=Moments.of(synthetic))]


@dataclass
class MetricValues:
    """Metrics as they are computed; an undefined one leaves None and its reason."""

    values: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, names: Sequence[str], compute: Callable[[], Sequence[float]]) -> None:
        """Compute the metrics `names`, in this order."""
        try:
            results: Sequence[float | None] = compute()
        except Undefined as reason:
            results = [None] * len(names)
            self.reasons.update(dict.fromkeys(names, str(reason)))

        for name, value in zip(names, results, strict=True):
            if value is not None and math.isfinite(value):
                self.values[name] = value
            else:
                self.values[name] = None
                self.reasons.setdefault(name, f"came out as {value}")


def compare(
    *,
    real: Reference,
    synthetic: Tensor,
    precision_recall_k: int,
    density_coverage_k: int,
    errors: bool = False,
) -> MetricValues:
    """Compute every metric of `DISTRIBUTION`, and the standard errors that come with them."""
    scores = MetricValues()
    scores.add(("fid",), lambda: real.frechet(synthetic))
    scores.add(("kid", "kid_se"), partial(kernel_distance, real=real.features, synthetic=synthetic))

    neighbours = partial(
        prdc,
        real=real.features,
        synthetic=synthetic,
        precision_recall_k=precision_recall_k,
        density_coverage_k=density_coverage_k,
    )
    scores.add(PRDC._fields, neighbours)
    scores.add(("vendi",), lambda: [vendi_score(synthetic)])
    return scores


def spread(values: Sequence[float | None]) -> Mapping[str, float] | None:
    """Return mean and standard deviation of the values that are defined; None: fewer than two."""
    defined = [value for value in values if value is not None]
    if len(defined) < 2:
        return None
    tensor = torch.tensor(defined, dtype=torch.float64)
    return {"mean": float(tensor.mean()), "sd": float(tensor.std())}
