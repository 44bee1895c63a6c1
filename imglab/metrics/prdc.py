"""Precision, recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020) from k-NN balls."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from imglab.metrics.neighbours import Points, Tile, in_one_frame, kth_squared_distance, tiles
from imglab.metrics.undefined import check_features


class PRDC(NamedTuple):
    """Precision, recall and coverage in [0, 1]; density >= 0 and about 1 for equal distributions.

    Each with its standard error over the samples that it is a mean of: synthetic ones for precision and density, real
    ones for recall and coverage.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    precision_se: float
    recall_se: float
    density_se: float
    coverage_se: float


def prdc(
    *, real: Tensor, synthetic: Tensor, precision_recall_k: int = 3, density_coverage_k: int = 5
) -> PRDC:
    """Compare two feature sets by the balls that reach from each sample to its k-th nearest neighbour in its own set.

    real, synthetic  float [N, D] and [M, D]; each more than k samples, else `Undefined`

    precision  share of synthetic samples inside some real ball (k = precision_recall_k)
    recall     share of real samples inside some synthetic ball (the same k)
    density    mean number of real balls around a synthetic sample, over k (k = density_coverage_k)
    coverage   share of real balls with a synthetic sample inside (the same k)

    Balls are closed (`<=`), so a set against itself scores precision = recall = coverage = 1 even with ties; the
    `prdc` package uses `<` and scores 0 on a set collapsed to one point. Time O((N + M)^2 D), memory O(N + M).
    """
    check_features(
        real=real, synthetic=synthetic, at_least=max(precision_recall_k, density_coverage_k) + 1
    )
    theirs, ours = in_one_frame(real, synthetic)
    real_ball, wide_ball = kth_squared_distance(theirs, (precision_recall_k, density_coverage_k))
    (synthetic_ball,) = kth_squared_distance(ours, (precision_recall_k,))

    precise = torch.zeros(len(ours), dtype=torch.bool)
    balls_around = torch.zeros(len(ours), dtype=torch.int64)
    recalled = torch.zeros(len(theirs), dtype=torch.bool)
    covered = torch.zeros(len(theirs), dtype=torch.bool)
    for tile in tiles(ours, theirs):
        rows, columns = tile.rows, tile.columns
        precise[rows] |= _inside(tile, real_ball[None, columns]).any(1)
        recalled[columns] |= _inside(tile, synthetic_ball[rows, None]).any(0)
        within = _inside(tile, wide_ball[None, columns])
        covered[columns] |= within.any(0)
        balls_around[rows] += within.float().mv(theirs.weight[columns].float()).long()

    each = (
        _mean(precise, ours),
        _mean(recalled, theirs),
        _mean(balls_around.double() / density_coverage_k, ours),
        _mean(covered, theirs),
    )
    return PRDC(*(mean for mean, _ in each), *(error for _, error in each))


def _mean(values: Tensor, points: Points) -> tuple[float, float]:
    """Mean over all samples of a value of their distinct rows, and its standard error."""
    each, weight, n = values.double(), points.weight.double(), int(points.weight.sum())
    mean = (each * weight).sum() / n
    variance = ((each - mean).square() * weight).sum() / n
    return float(mean), float((variance / n).sqrt())


def _inside(tile: Tile, ball: Tensor) -> Tensor:
    """Decide exactly which pairs of a tile are inside a closed ball; its float64 squared radius is [B, 1] or [1, C]."""
    rounded = ball.to(tile.at_least.dtype)
    inside = tile.at_most <= rounded
    i, j = (inside ^ (tile.at_least <= rounded)).nonzero(as_tuple=True)
    if len(i):
        inside[i, j] = tile.exact(i, j) <= ball.expand(inside.shape)[i, j]
    return inside


class PrecisionRecallDensityCoverage(Metric):
    """`prdc` as a torchmetrics `Metric`: update with features, compute at the end, synchronised over processes.

    Args:
        precision_recall_k: neighbours for precision and recall.
        density_coverage_k: neighbours for density and coverage.
        kwargs: settings of `torchmetrics.Metric`, such as `sync_on_compute`.

    Example:
        >>> metric = PrecisionRecallDensityCoverage()
        >>> metric.update(features, real=True)     # float [N, D], as often as there are batches
        >>> metric.update(generated, real=False)
        >>> metric.compute()                       # {"precision": tensor(..), "recall": .., ...}
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    real: list[Tensor]
    synthetic: list[Tensor]

    def __init__(
        self, *, precision_recall_k: int = 3, density_coverage_k: int = 5, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.precision_recall_k = precision_recall_k
        self.density_coverage_k = density_coverage_k
        self.add_state("real", default=[], dist_reduce_fx="cat")
        self.add_state("synthetic", default=[], dist_reduce_fx="cat")

    def update(self, features: Tensor, *, real: bool) -> None:
        """Add features, float [N, D], of real or of synthetic samples."""
        (self.real if real else self.synthetic).append(features.detach())

    def compute(self) -> dict[str, Tensor]:
        """Return the four scores of all features added, in all processes."""
        scores = prdc(
            real=dim_zero_cat(self.real).cpu(),
            synthetic=dim_zero_cat(self.synthetic).cpu(),
            precision_recall_k=self.precision_recall_k,
            density_coverage_k=self.density_coverage_k,
        )
        return {
            name: torch.tensor(value, device=self.device)
            for name, value in scores._asdict().items()
        }
