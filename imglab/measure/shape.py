"""Moments and shape: what is left of a difference once mean and scale are matched."""

from __future__ import annotations

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
"""Groups of real samples that are left out in turn, for the spread of their variance."""

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


def variance_ratio_floor(
    modality: Modality, real: Samples, features: Tensor, n_synthetic: int
) -> dict[str, float] | None:
    """Return mean, deviation and 95% range of `variance_ratio` between disjoint real sets.

    real, features  the real samples that generations are compared with, and their features [N, D]
    n_synthetic     how many samples are compared with them

    The deviation of a variance is the jackknife's, with groups of samples left out in turn (Efron
    and Tibshirani 1993, section 11.5). It is None for fewer than two samples, and for constants.
    """
    matcher = modality.ability(MatchesMoments)
    order = torch.randperm(len(real), generator=seeds.generator("variance floor"))[:MOST]
    groups = order.tensor_split(min(GROUPS, len(order)))
    if len(groups) < 2:
        return None

    left = [torch.cat([*groups[:i], *groups[i + 1 :]]) for i in range(len(groups))]
    if matcher is None:
        variances = [float(features[rows].double().var(0, correction=0).sum()) for rows in left]
    else:
        variances = [matcher.variance(real[rows]) for rows in left]
    of_groups = torch.tensor(variances, dtype=torch.float64)
    mean = float(of_groups.mean())
    if not mean > 0:
        return None

    count = len(groups)
    relative = ((count - 1) * float(of_groups.var(correction=0))) ** 0.5 / mean
    deviation = relative * (len(order) * (1 / len(real) + 1 / n_synthetic)) ** 0.5
    return normal_range(1.0, deviation)


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
