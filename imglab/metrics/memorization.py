"""Has the model copied its training data? Distances to, and exact repeats of, real samples."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from imglab.metrics.neighbours import nearest_squared_distance
from imglab.metrics.one_pass import Reference
from imglab.metrics.ranks import area_under_curve
from imglab.metrics.rows import HashedRows
from imglab.metrics.undefined import Undefined, check_features

SPARE = 13
"""Neighbours beyond those asked for whose distances are taken again in float64."""


def nearest_distances(*, train: Tensor, synthetic: Tensor) -> Tensor:
    """Return the distance of each synthetic sample to its nearest real training sample.

    train, synthetic  float features [N, D], [M, D]

    The distances are Euclidean, in feature units, float64 [M].
    """
    return distances_to(Reference(train), synthetic)


def distances_to(train: Reference, synthetic: Tensor) -> Tensor:
    """Return `nearest_distances` to a training set that is compared with again and again."""
    check_features(real=train.features, synthetic=synthetic, at_least=1)
    train = train.beside(synthetic)
    points = train.seen(synthetic)

    distances = nearest_squared_distance(points, train.points).sqrt() / points.frame.scale
    return distances[points.inverse]


def nearest_distance(*, train: Tensor, synthetic: Tensor) -> tuple[float, float]:
    """Return the mean of `nearest_distances` and its standard error; NaN for one sample."""
    return mean_distance(nearest_distances(train=train, synthetic=synthetic))


def mean_distance(distances: Tensor) -> tuple[float, float]:
    """Return the mean of distances, float64 [M], and its standard error; NaN for one sample."""
    error = float("nan")
    if len(distances) > 1:
        error = float(distances.std() / len(distances) ** 0.5)
    return float(distances.mean()), error


def nearest_samples(*, train: Tensor, synthetic: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k nearest real training samples of each synthetic one, nearest first.

    It is meant for the few samples that a person looks at. Returns indices into `train`, int64
    [M, k'], and distances, float64 [M, k'], where k' = min(k, N). Of samples at one distance the
    lower index comes first.
    """
    check_features(real=train, synthetic=synthetic, at_least=1)

    # Choose candidates by distances in the features' own precision.
    centre = train.mean(0)
    rough = torch.cdist(synthetic - centre, train - centre)  # [M, N]
    candidates = rough.topk(min(len(train), k + SPARE), largest=False).indices
    candidates = candidates.sort(1).values  # [M, k + SPARE]

    # Order them by distances in float64.
    exact = (synthetic[:, None].double() - train[candidates].double()).norm(dim=2)
    order = exact.argsort(dim=1, stable=True)[:, :k]
    return candidates.gather(1, order), exact.gather(1, order)


def duplicate_share(*, train: Tensor, synthetic: Tensor) -> tuple[float, float]:
    """Return the share of synthetic samples that equal some training sample, byte for byte.

    train, synthetic  data of one shape and dtype, [N, ...] and [M, ...]

    The second value is the share's standard error. Raises `Undefined` without synthetic samples.
    """
    return share_of_copies(HashedRows.of(train), synthetic)


def share_of_copies(train: HashedRows, synthetic: Tensor) -> tuple[float, float]:
    """Return `duplicate_share` among rows that are compared with again and again."""
    if not len(synthetic):
        raise Undefined("there are no synthetic samples")
    share = float(train.contain(synthetic).double().mean())
    return share, (share * (1 - share) / len(synthetic)) ** 0.5


def memorization_share(
    *, train: Tensor, held_out: Tensor, synthetic: Tensor
) -> tuple[float, float]:
    """Return how often a synthetic sample is nearer to the training set than a held-out one is.

    train, held_out, synthetic  float features [N, D], [H, D], [M, D]

    It is P(d(synthetic) < d(held out)) over pairs of one synthetic and one held-out real sample,
    ties counted half, where d is the distance to the nearest training sample (the statistic of
    Meehan et al. 2020, there within cells). A model of the right distribution that has memorised
    nothing scores .5, a copier 1, a model far from the data 0: read it beside precision.

    The second value is the standard error over the draws of held-out and synthetic samples. The
    training set is held fixed, so the score belongs to it. Where it is small, d is large for all
    samples and the score can see only close copies. Held-out samples must not share what makes
    training samples alike (a document, a person), and must be drawn like them: else the score is
    below .5 without memorisation. How many there are decides only the error.
    """
    of_held_out = nearest_distances(train=train, synthetic=held_out)
    of_synthetic = nearest_distances(train=train, synthetic=synthetic)
    return area_under_curve(higher=of_held_out, lower=of_synthetic)


class Agreement(NamedTuple):
    """Median cosine similarities, in [-1, 1]: of corresponding samples, and of unrelated ones."""

    corresponding: float
    unrelated: float


def agreement(*, one: Tensor, other: Tensor) -> Agreement:
    """Compare samples that two models, trained on disjoint halves of the data, make of one noise.

    one, other  float [N, D]; row i of both comes from the same noise; N >= 2, else `Undefined`

    Models that have learnt the distribution make nearly the same sample of the same noise, those
    that have memorised their half do not (Kadkhodaie et al. 2024). Similarities are taken after
    the common mean has been subtracted. Unrelated samples, row i of one and row i + 1 of the
    other, show what chance gives.
    """
    check_features(real=one, synthetic=other, at_least=2)
    if len(one) != len(other):
        raise ValueError(f"samples must correspond row by row: {len(one)} and {len(other)} rows")

    centre = torch.cat([one, other]).double().mean(0)
    first = one.double() - centre
    second = other.double() - centre
    corresponding = torch.cosine_similarity(first, second, dim=1)
    unrelated = torch.cosine_similarity(first, second.roll(-1, 0), dim=1)
    return Agreement(float(corresponding.median()), float(unrelated.median()))
