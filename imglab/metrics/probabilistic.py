"""Probabilistic precision and recall (Park and Kim 2023, ICCV)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from imglab.metrics.neighbours import kth_squared_distance
from imglab.metrics.points import in_one_frame, rounded_distances
from imglab.metrics.undefined import check_features

K = 4
"""Neighbours that set the radius of a set; the paper's choice, and its code's."""

STRETCH = 1.2
"""How many times the mean k-NN distance the radius is; the paper's `a`."""

BLOCK = 1024
"""Rows of the distance matrix that are in memory at a time."""


class ProbabilisticPR(NamedTuple):
    """Precision and recall in [0, 1]; below 1 also for equal distributions."""

    precision: float
    recall: float


def probabilistic_precision_recall(*, real: Tensor, synthetic: Tensor) -> ProbabilisticPR:
    """Return the mean probability that a sample lies in the support of the other set.

    real, synthetic  float [N, D] and [M, D]; each more than 4 samples, else `Undefined`

    A sample x_i of a set with radius R supports a point y with probability
    max(0, 1 - |y - x_i| / R), and the set supports it with 1 - prod_i (1 - that). R is 1.2 times
    the mean distance of the set's samples to their 4th nearest neighbour in the set: ONE radius
    for the whole set, so an outlier has no ball of its own. It is a mean, though: a synthetic
    outlier at the distance L adds 1.2 L / M to the radius, so one that is far enough still makes
    recall rise to 1, as the published one does.

    precision  mean over synthetic samples of the probability that the real set supports them
    recall     mean over real samples of the probability that the synthetic set supports them
    """
    check_features(real=real, synthetic=synthetic, at_least=K + 1)
    centre = real.double().mean(0)
    x = real.double() - centre
    y = synthetic.double() - centre
    real_radius = support_radius(real)
    synthetic_radius = support_radius(synthetic)

    unsupported = torch.ones(len(y), dtype=torch.float64)
    missed = []
    for rows in x.split(BLOCK):
        distances = rounded_distances(rows, y)  # [B, M]
        unsupported *= outside(distances, real_radius, 0)
        missed.append(outside(distances, synthetic_radius, 1))
    return ProbabilisticPR(1 - float(unsupported.mean()), 1 - float(torch.cat(missed).mean()))


def support_radius(features: Tensor) -> float:
    """Return 1.2 times the mean distance to the 4th nearest other sample, in feature units."""
    (points,) = in_one_frame(features)
    squared = kth_squared_distance(points, (K,))[0]
    return STRETCH * float(squared.sqrt()[points.inverse].mean()) / points.frame.scale


def outside(distances: Tensor, radius: float, dim: int) -> Tensor:
    """Return the probability that none of the samples along `dim` supports a point.

    A set whose radius is 0 supports its own samples and nothing else.
    """
    if radius == 0:
        return (distances > 0).to(distances.dtype).amin(dim)
    return (distances / radius).clamp_(max=1).prod(dim)
