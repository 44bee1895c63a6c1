"""Moments and shape: what is left of a difference once mean and scale are matched."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from imglab import seeds
from imglab.measures import Features, Measures
from imglab.metrics import strips
from imglab.metrics.bounded import why_recall_is_withheld
from imglab.metrics.comparison import MetricValues
from imglab.metrics.pairs import Pairs
from imglab.metrics.ranks import normal_range
from imglab.metrics.undefined import Undefined, check_features
from imglab.modality import MatchesMoments, Modality
from imglab.progress import Stage
from imglab.samples import Samples

GROUPS = 50
"""Groups of real samples, at most, whose variances say how much a variance spreads."""

FEWEST = 5
"""Groups without which nothing is said of that spread."""

LEAST = 10
"""Samples of a group: the variance of fewer spreads by more than in proportion."""

MOST = 2000
"""Real samples that are looked at for that spread."""

SHAPE = (
    "fid_shape",
    "precision_shape",
    "recall_shape",
    "precision_bounded_shape",
    "recall_bounded_shape",
    "coverage_shape",
)


def shape_scores(
    modality: Modality,
    extract: Callable[[Samples], Stage[Features]],
    *,
    real: Samples,
    samples: Samples,
    pairs: Pairs,
) -> Stage[Measures]:
    """Score samples whose mean and scale are matched to those of the real data.

    real     the real samples
    samples  those of a generation
    pairs    the features of both

    variance_ratio   total variance of the samples over that of the real ones
    fid_shape, precision_shape, recall_shape, precision_bounded_shape, recall_bounded_shape
                     of the matched samples: what fading, or a shift, does not explain

    A modality with the ability MatchesMoments matches the data themselves. Of any other, each
    sample's features are moved and scaled by one factor, and the variance is that of the features.
    """
    scores = MetricValues()
    matcher = modality.ability(MatchesMoments)
    if matcher is None:
        scores.add(("variance_ratio",), partial(_feature_variance_ratio, pairs))
        scores.add(SHAPE, partial(_matched_features, pairs))
    else:
        ratio = partial(_variance_ratio, matcher, real, samples)
        scores.add(("variance_ratio",), ratio)
        extracted = yield from extract(matcher.matched(samples, real))
        scores.add(SHAPE, partial(_matched_samples, pairs, extracted.values))
    return _withheld(Measures(scores.values, scores.reasons))


def spread_of_variance(modality: Modality, real: Samples, features: Tensor) -> float | None:
    """Return s, where the total variance of n real samples has a relative deviation of s / sqrt(n).

    real, features  the real samples that generations are compared with, and their features [N, D]

    It comes from the variances of random groups of them: None for fewer than fifty samples, and
    for data without a variance.
    """
    order = torch.randperm(len(real), generator=seeds.generator("variance floor"))[:MOST]
    count = min(GROUPS, len(order) // LEAST)
    if count < FEWEST:
        return None

    matcher = modality.ability(MatchesMoments)
    groups = order[: len(order) // count * count].chunk(count)
    if matcher is None:
        variances = [float(features[rows].double().var(0).sum()) for rows in groups]
    else:
        try:
            variances = [matcher.variance(real[rows]) for rows in groups]
        except Undefined:
            return None
    of_groups = torch.tensor(variances, dtype=torch.float64)
    mean = float(of_groups.mean())
    if not mean > 0:
        return None
    relative = float(of_groups.std()) / mean
    return relative * math.sqrt(len(groups[0]))


def variance_ratio_floor(spread: float, n_real: int, n_synthetic: int) -> dict[str, float]:
    """Return mean, deviation and 95% range of `variance_ratio` between two sets of real data.

    spread  `spread_of_variance` of real data
    """
    deviation = spread * (1 / n_real + 1 / n_synthetic) ** 0.5
    return normal_range(1.0, deviation, least=0.0)


def _matched_features(pairs: Pairs) -> list[float]:
    """Return what `SHAPE` names, of samples whose features are matched."""
    distance, scores, bounded = pairs.matched_scores()
    return [distance, scores.precision, scores.recall, *bounded, scores.coverage]


def _matched_samples(pairs: Pairs, features: Tensor) -> list[float]:
    """Return what `SHAPE` names, of samples that are matched themselves, by their features."""
    with strips.shared():
        scores, bounded = pairs.real.balls_of(features, precision_recall_k=pairs.narrow_k)
    distance = pairs.real.frechet(features)[0]
    return [distance, scores.precision, scores.recall, *bounded, scores.coverage]


def _withheld(measures: Measures) -> Measures:
    """Take the recall out where precision or coverage is near 0, as that of the samples is."""
    values = dict(measures.values)
    precision = values["precision_shape"]
    coverage = values.pop("coverage_shape")
    if precision is None:
        return replace(measures, values=values)

    reason = why_recall_is_withheld(precision=precision, coverage=coverage)
    if reason is None:
        return replace(measures, values=values)
    reasons = {**measures.reasons, "recall_shape": reason}
    return replace(measures, values={**values, "recall_shape": None}, reasons=reasons)


def _variance_ratio(matcher: MatchesMoments, real: Samples, samples: Samples) -> list[float]:
    return [_ratio(matcher.variance(samples), matcher.variance(real))]


def _feature_variance_ratio(pairs: Pairs) -> list[float]:
    check_features(real=pairs.real.features, synthetic=pairs.synthetic, at_least=2)
    coupling = pairs.coupling
    variance = float(coupling.synthetic.covariance.trace())
    return [_ratio(variance, float(coupling.real.covariance.trace()))]


def _ratio(variance: float, of_real: float) -> float:
    if not of_real > 0:
        raise Undefined("the real data are constant")
    return variance / of_real
