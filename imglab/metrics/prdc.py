"""Precision, recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

All four come from k-NN balls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from imglab.metrics.neighbours import kth_squared_distance
from imglab.metrics.points import Points, in_one_frame
from imglab.metrics.strips import flags, zeros
from imglab.metrics.tiles import Tile, is_any_inside, is_inside, sweep, tiles
from imglab.metrics.undefined import check_features


class PRDC(NamedTuple):
    """Precision, recall and coverage in [0, 1]; density >= 0 and about 1 for equal distributions.

    Each has a standard error over the samples that it is a mean of: synthetic ones for precision
    and density, real ones for recall and coverage.
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
    """Compare two feature sets by balls that reach from each sample to its k-th nearest neighbour.

    The neighbour is one of the sample's own set.

    real, synthetic  float [N, D] and [M, D]; each more than k samples, else `Undefined`

    precision  share of synthetic samples inside some real ball (k = precision_recall_k)
    recall     share of real samples inside some synthetic ball (the same k)
    density    mean number of real balls around a synthetic sample, over k (k = density_coverage_k)
    coverage   share of real balls with a synthetic sample inside (the same k)

    Balls are closed (`<=`), so a set against itself scores precision = recall = coverage = 1 even
    with ties; the `prdc` package uses `<` and scores 0 on a set collapsed to one point. It takes
    time O((N + M)^2 D) and memory O(N + M).

    Samples that have collapsed to one point are precise, and recall next to nothing:

    >>> real = torch.arange(20.0)[:, None]
    >>> scores = prdc(real=real, synthetic=torch.full((20, 1), 10.0))
    >>> scores.precision, scores.recall
    (1.0, 0.05)
    """
    flags = balls(
        real=real,
        synthetic=synthetic,
        precision_recall_k=precision_recall_k,
        density_coverage_k=density_coverage_k,
    )
    return prdc_of(flags, density_coverage_k)


def prdc_of(flags: Balls, density_coverage_k: int) -> PRDC:
    """Take the means of what `balls` decided."""
    scores = (
        _mean(flags.is_precise),
        _mean(flags.is_recalled),
        _mean(flags.balls_around.double() / density_coverage_k),
        _mean(flags.is_covered),
    )
    return PRDC(*(mean for mean, _ in scores), *(error for _, error in scores))


@dataclass(frozen=True)
class Balls:
    """What lies in whose k-NN ball, sample by sample.

    is_precise    inside some real ball, bool [M]
    balls_around  number of wide real balls around it, int64 [M]
    is_recalled   inside some synthetic ball, bool [N]
    is_covered    has a synthetic sample inside its wide ball, bool [N]
    real_radii    squared radii of the wide balls, in the scale of the frame, float64 [N]
    """

    is_precise: Tensor
    balls_around: Tensor
    is_recalled: Tensor
    is_covered: Tensor
    real_radii: Tensor


def balls(
    *, real: Tensor, synthetic: Tensor, precision_recall_k: int, density_coverage_k: int
) -> Balls:
    """Decide for every sample of both sets what `prdc` takes the means of."""
    most = max(precision_recall_k, density_coverage_k)
    check_features(real=real, synthetic=synthetic, at_least=most + 1)
    reals, synthetics = in_one_frame(real, synthetic)
    narrow, wide = kth_squared_distance(reals, (precision_recall_k, density_coverage_k))
    alone = synthetics.around_own_middle()
    (synthetic_narrow,) = kth_squared_distance(alone, (precision_recall_k,))

    flags = InBalls(reals, synthetics, Radii(narrow, wide, synthetic_narrow))
    sweep(tiles(synthetics, reals), [flags])
    return flags.balls


class Radii(NamedTuple):
    """Squared radii of distinct rows, in the scale of the frame, float64.

    narrow, wide      real balls: for precision and recall, and for density and coverage, [N]
    synthetic_narrow  synthetic balls for precision and recall, [M]
    """

    narrow: Tensor
    wide: Tensor
    synthetic_narrow: Tensor


class InBalls:
    """Decides what `Balls` holds; a consumer of the tiles of synthetic rows with real columns."""

    def __init__(self, reals: Points, synthetics: Points, radii: Radii) -> None:
        self._reals = reals
        self._synthetics = synthetics
        self._radii = radii
        self._is_precise = zeros(len(synthetics), torch.bool)
        self._balls_around = zeros(len(synthetics), torch.int64)
        self._is_recalled = flags(len(reals))
        self._is_covered = flags(len(reals))

    @property
    def balls(self) -> Balls:
        """What has been decided, with an entry for each sample."""
        return Balls(
            self._is_precise.values[self._synthetics.inverse],
            self._balls_around.values[self._synthetics.inverse],
            self._is_recalled.values[self._reals.inverse],
            self._is_covered.values[self._reals.inverse],
            self._radii.wide[self._reals.inverse],
        )

    def add(self, tile: Tile) -> None:  # noqa: D102
        rows = tile.rows
        columns = tile.columns
        radii = self._radii
        is_precise = is_any_inside(tile, radii.narrow[None, columns], 1)
        self._is_precise.of(tile).logical_or_(is_precise)
        is_recalled = is_any_inside(tile, radii.synthetic_narrow[rows, None], 0)
        self._is_recalled.add(tile, is_recalled)

        in_wide = is_inside(tile, radii.wide[None, columns]).float()  # [B, C]
        self._is_covered.add(tile, in_wide.amax(0) > 0)
        around = in_wide.mv(self._reals.weight[columns].float()).long()
        self._balls_around.of(tile).add_(around)

    def gather(self) -> None:  # noqa: D102
        for values in (self._is_precise, self._balls_around):
            values.gather()
        for of_columns in (self._is_recalled, self._is_covered):
            of_columns.gather()


def _mean(values: Tensor) -> tuple[float, float]:
    """Return the mean of a value of each sample [N], and its standard error."""
    values = values.double()
    mean = values.mean()
    return float(mean), float(((values - mean).square().mean() / len(values)).sqrt())
