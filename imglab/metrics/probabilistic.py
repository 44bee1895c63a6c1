"""Probabilistic precision and recall (Park and Kim 2023, ICCV)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from imglab.metrics.neighbours import kth_squared_distance
from imglab.metrics.points import Points, in_one_frame, rounded_distances
from imglab.metrics.strips import ColumnValues, RowValues
from imglab.metrics.tiles import Tile, sweep, tiles
from imglab.metrics.undefined import check_features

K = 4
"""Neighbours that set the radius of a set; the paper's choice, and its code's."""

STRETCH = 1.2
"""How many times the mean k-NN distance the radius is; the paper's `a`."""

NEAR = 1 / 16
"""Squared distances below this share of the squared lengths lose digits to float32."""

FEW = 1 / 512
"""Up to this share of a tile's pairs are taken again one by one; beyond it, the tile as a whole."""


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
    reals, synthetics = in_one_frame(real, synthetic)
    (radii,) = kth_squared_distance(reals, (K,))
    (synthetic_radii,) = kth_squared_distance(synthetics.around_own_middle(), (K,))
    support = Support(reals, synthetics, radii, synthetic_radii)
    sweep(tiles(synthetics, reals), [support])
    return support.scores


class Support:
    """Multiplies up who supports whom; a consumer of synthetic rows with real columns.

    A tile's products of squared ratios are taken in the precision of its distances, those of the
    tiles in float64. A pair so near that float32 distances have few digits is taken again.
    """

    def __init__(
        self, reals: Points, synthetics: Points, radii: Tensor, synthetic_radii: Tensor
    ) -> None:
        """Take the squared distances of distinct rows to the 4th neighbour, float64 [N], [M]."""
        self._reals = reals
        self._synthetics = synthetics
        self._radius = _support_radius(reals, radii)
        self._synthetic_radius = _support_radius(synthetics, synthetic_radii)
        self._unsupported = RowValues(torch.ones(len(synthetics), dtype=torch.float64))
        self._missed = ColumnValues(torch.ones(len(reals), dtype=torch.float64), torch.mul)

    @property
    def scores(self) -> ProbabilisticPR:
        """The means over the samples of both sets."""
        unsupported = self._unsupported.values[self._synthetics.inverse].mean()
        missed = self._missed.values[self._reals.inverse].mean()
        return ProbabilisticPR(1 - float(unsupported), 1 - float(missed))

    def add(self, tile: Tile) -> None:  # noqa: D102
        squared = precise_distances(tile)
        columns = self._reals.weight[tile.columns]
        rows = self._synthetics.weight[tile.rows, None]
        self._unsupported.of(tile).mul_(_missing(squared, self._radius, columns, 1))
        self._missed.add(tile, _missing(squared, self._synthetic_radius, rows, 0))

    def gather(self) -> None:  # noqa: D102
        self._unsupported.gather()
        self._missed.gather()


def precise_distances(tile: Tile) -> Tensor:
    """Return squared distances whose digits are those of the products, also of near pairs."""
    if tile.distances.dtype == torch.float64:
        return _float64_distances(tile)

    near = tile.distances < NEAR * tile.lengths
    count = int(torch.count_nonzero(near))
    if count > FEW * near.numel():
        return _float64_distances(tile)

    squared = tile.distances
    if count:
        i, j = near.nonzero(as_tuple=True)
        squared = squared.clone()
        squared[i, j] = tile.exact(i, j).to(squared.dtype)
    return squared


def _float64_distances(tile: Tile) -> Tensor:
    """Return squared distances by one product in float64; those of equal rows are 0."""
    return rounded_distances(
        tile.points.float64_part(tile.rows), tile.others.float64_part(tile.columns)
    )


def _support_radius(points: Points, squared: Tensor) -> float:
    """Return 1.2 times the mean distance to the 4th nearest other sample, in the frame's scale."""
    return STRETCH * float(squared.sqrt()[points.inverse].mean())


def _missing(squared: Tensor, radius: float, weights: Tensor, dim: int) -> Tensor:
    """Return the probability that no sample along `dim` supports a point, float64.

    weights  how often each of these samples occurs
    """
    if radius == 0:
        return (squared > 0).to(torch.float64).amin(dim)

    ratios = (squared / radius**2).clamp_(max=1)
    if bool((weights > 1).any()):
        ratios = ratios.double().pow_(weights)
    return ratios.prod(dim).double().sqrt_()


def outside(distances: Tensor, radius: float, dim: int) -> Tensor:
    """Return the probability that none of the samples along `dim` supports a point.

    A set whose radius is 0 supports its own samples and nothing else.
    """
    if radius == 0:
        return (distances > 0).to(distances.dtype).amin(dim)
    return (distances / radius).clamp_(max=1).prod(dim)
