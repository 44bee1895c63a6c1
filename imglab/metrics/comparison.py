"""All metrics that compare the features of real and of synthetic samples, computed together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from imglab.metrics.bounded import why_recall_is_withheld
from imglab.metrics.errors import neighbour_errors
from imglab.metrics.one_pass import Reference as Reference
from imglab.metrics.pairs import Pairs
from imglab.metrics.pairwise import NEIGHBOURS, SCALARS
from imglab.metrics.prdc import PRDC, Balls, prdc_of
from imglab.metrics.probabilistic import K
from imglab.metrics.strips import by_one_each
from imglab.metrics.tails import tails_of
from imglab.metrics.two_sample import two_sample_auc
from imglab.metrics.undefined import Undefined
from imglab.metrics.vendi import vendi_score

FRECHET = ("fid", "fid_mean", "fid_variance", "fid_rest")

DISTRIBUTION = (*FRECHET, "kid", "kid_standard", *NEIGHBOURS, "two_sample_auc", "vendi")
"""Metrics that have a floor: real against real at the same two sizes."""

BETWEEN_SPLITS = tuple(name for name in DISTRIBUTION if name != "two_sample_auc")
"""Metrics whose floor is measured between random splits of real data; that of the two-sample test
is known (`null_of_auc`)."""

LOW = 0.025
"""Quantile below an interval of 95%."""

Value = float | list[float]
"""A metric's value: a number, or one for each tenth of the real samples."""


@dataclass
class MetricValues:
    """Metrics as they are computed; an undefined one leaves None and its reason."""

    values: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, names: Sequence[str], compute: Callable[[], Sequence[Value | None]]) -> None:
        """Compute the metrics `names`, in this order."""
        try:
            results: Sequence[Value | None] = compute()
        except Undefined as reason:
            results = [None] * len(names)
            self.reasons.update(dict.fromkeys(names, str(reason)))

        for name, value in zip(names, results, strict=True):
            if _is_finite(value):
                self.values[name] = value
            else:
                self.values[name] = None
                self.reasons.setdefault(name, f"came out as {value}")

    def withhold(self, names: Sequence[str], reason: str) -> None:
        """Take back values that must not be read, and say why."""
        for name in names:
            if name in self.values:
                self.values[name] = None
                self.reasons[name] = reason

    def forget(self, name: str) -> None:
        """Drop a value that nobody asked for, if it is there."""
        self.values.pop(name, None)
        self.reasons.pop(name, None)


def _is_finite(value: Value | None) -> bool:
    if isinstance(value, list):
        return all(math.isfinite(each) for each in value)
    return value is not None and math.isfinite(value)


def compare(
    *,
    real: Reference,
    synthetic: Tensor,
    precision_recall_k: int,
    density_coverage_k: int,
    errors: bool = False,
) -> MetricValues:
    """Compute every metric of `DISTRIBUTION`.

    synthetic  float [N, D]
    errors     also each scalar metric's standard error over redrawn real and synthetic sets, as
               `<name>_se` (all but that of `vendi`), and the 95% intervals of the kernel distances
               as `<name>_interval`

    `recall` and `recall_by_decile` are withheld where precision or coverage is near 0.
    """
    pairs = Pairs(
        real,
        synthetic,
        precision_recall_k=precision_recall_k,
        density_coverage_k=density_coverage_k,
        errors=errors,
    )
    return compare_pairs(pairs)


def compare_split(
    *, real: Tensor, synthetic: Tensor, precision_recall_k: int, density_coverage_k: int
) -> MetricValues:
    """Compute every metric of `BETWEEN_SPLITS` for two parts of the real data, float [N, D]."""
    pairs = Pairs(
        Reference(real),
        synthetic,
        precision_recall_k=precision_recall_k,
        density_coverage_k=density_coverage_k,
    )
    return compare_pairs(pairs, classifier=False)


def compare_pairs(pairs: Pairs, *, classifier: bool = True) -> MetricValues:
    """Compute what `compare` does; `classifier` says whether `two_sample_auc` is one of them."""
    scores = MetricValues()
    scores.add(FRECHET, pairs.frechet)
    jobs = _jobs(pairs, classifier=classifier)
    results = dict(zip(jobs, by_one_each(list(jobs.values())), strict=True))

    _add_kernel(scores, pairs, "kid", standard=False)
    _add_kernel(scores, pairs, "kid_standard", standard=True)
    if classifier:
        scores.add(("two_sample_auc", "two_sample_auc_se"), results["two_sample_auc"])
    _add_neighbours(scores, pairs)
    scores.add(("vendi",), results["vendi"])

    if pairs.errors:
        scores.add([f"{name}_se" for name in FRECHET], results["frechet_errors"])
        scores.add([f"{name}_se" for name in SCALARS], results["neighbour_errors"])
    else:
        scores.forget("two_sample_auc_se")
    withhold_recall(scores)
    return scores


def _jobs(pairs: Pairs, *, classifier: bool) -> dict[str, Callable[[], Sequence[Value | None]]]:
    """Return what looks at no tiles, so that each process can do some of it, the longest first."""
    real = pairs.real.features
    synthetic = pairs.synthetic

    def of_neighbours() -> list[float | None]:
        errors = neighbour_errors(
            real=real,
            synthetic=synthetic,
            precision_recall_k=pairs.narrow_k,
            density_coverage_k=pairs.wide_k,
        )
        return list(errors.values())

    jobs: dict[str, Callable[[], Sequence[Value | None]]] = {}
    if pairs.errors:
        jobs["frechet_errors"] = pairs.frechet_errors
        jobs["neighbour_errors"] = of_neighbours
    jobs["vendi"] = lambda: [vendi_score(synthetic)]
    if classifier:
        jobs["two_sample_auc"] = partial(two_sample_auc, real=real, synthetic=synthetic)
    return jobs


def _add_kernel(scores: MetricValues, pairs: Pairs, name: str, *, standard: bool) -> None:
    """Add a kernel distance, with its error and its interval if errors are asked for."""
    scores.add((name,), lambda: pairs.kernel(standard=standard))
    if pairs.errors:
        names = (f"{name}_se", f"{name}_interval")
        scores.add(names, lambda: pairs.kernel_errors(standard=standard))


def _add_neighbours(scores: MetricValues, pairs: Pairs) -> None:
    """Add the metrics of nearest neighbours."""

    def balls() -> Balls:
        return pairs.at_least(max(pairs.narrow_k, pairs.wide_k) + 1).balls

    scores.add(PRDC._fields[:4], lambda: prdc_of(balls(), pairs.wide_k)[:4])
    scores.add(("recall_by_decile", "coverage_by_decile"), lambda: tails_of(balls()))
    scores.add(
        ("precision_bounded", "recall_bounded"),
        lambda: pairs.at_least(pairs.narrow_k + 1).bounded.scores,
    )
    scores.add(
        ("precision_probabilistic", "recall_probabilistic"),
        lambda: pairs.at_least(K + 1).support,
    )


def withhold_recall(scores: MetricValues) -> None:
    """Take back the published recall where it would measure outliers."""
    precision = scores.values["precision"]
    coverage = scores.values["coverage"]
    if precision is None or coverage is None:
        return
    reason = why_recall_is_withheld(precision=precision, coverage=coverage)
    if reason is not None:
        names = ("recall", "recall_se", "recall_by_decile")
        scores.withhold([name for name in names if name in scores.values], reason)


def spread(values: Sequence[Value | None]) -> Mapping[str, Value] | None:
    """Return mean, standard deviation and quantiles of the values that are defined.

    mean, sd   over the values
    low, high  their 2.5% and 97.5% quantiles, interpolated

    Values that are lists are taken element by element. None: fewer than two values are defined.

    >>> spread([1.0, 2.0, 3.0, None])["mean"]
    2.0
    """
    defined = [value for value in values if value is not None]
    if len(defined) < 2:
        return None
    tensor = torch.tensor(defined, dtype=torch.float64)
    return {
        "mean": tensor.mean(0).tolist(),
        "sd": tensor.std(0).tolist(),
        "low": tensor.quantile(LOW, 0).tolist(),
        "high": tensor.quantile(1 - LOW, 0).tolist(),
    }
