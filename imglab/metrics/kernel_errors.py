"""From sums of kernel matrices to the kernel distance, its standard errors and its interval."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from imglab.metrics.ranks import NORMAL


class KernelDistance(NamedTuple):
    """The unbiased MMD^2, its standard errors over redrawn samples, and its 95% interval.

    of_synthetic  over the draw of the synthetic samples alone
    of_both       over the draws of both sets
    low, high     where the distance of the two distributions lies
    """

    value: float
    of_synthetic: float
    of_both: float
    low: float
    high: float


class KernelSums(NamedTuple):
    """Sums of a kernel matrix [N, M]: by row [N], by column [M], and of squares about a level.

    Of a set with itself they leave out the diagonal, whose sum is `diagonal`, and there are no sums
    by column.
    """

    rows: Tensor
    columns: Tensor
    squares: float
    level: float
    diagonal: float


def kernel_distance_of_sums(
    *, real: KernelSums, synthetic: KernelSums, cross: KernelSums, influence: Tensor | None = None
) -> KernelDistance:
    """Return the unbiased MMD^2 with its errors, from the sums of three kernel matrices.

    cross      its rows are the synthetic samples, its columns the real ones
    influence  what each real sample does besides, `influence_of_standard`, [N]

    The variance has two terms (Sutherland et al. 2017, Generative Models and Model Criticism via
    Optimized Maximum Mean Discrepancy). One is that of each sample by itself, of order 1/N; it is
    0 where the distributions are equal. The other is that of pairs, of order 1/N^2. A jackknife
    counts the first once and the second twice, so that is taken off. Both are estimated without
    bias; an estimate below 0 counts as 0. With fewer than four samples in a set there are none,
    and the errors are NaN; so is the interval.
    """
    m = len(real.rows)
    n = len(synthetic.rows)
    within = real.rows.sum() / (m * (m - 1)) + synthetic.rows.sum() / (n * (n - 1))
    value = float(within - 2 * cross.rows.sum() / (m * n))

    of_real = _Variance.within(real, cross.columns, n, influence)
    of_synthetic = _Variance.within(synthetic, cross.rows, m)
    between = 4 * _spread_between(cross) / (m * n)
    of_both = _Variance(
        of_real.jackknife + of_synthetic.jackknife,
        of_real.counted + of_synthetic.counted + 2 * between,
        of_real.pairs + of_synthetic.pairs + between,
    )

    bias = _mean_of_diagonal(real) / m + _mean_of_diagonal(synthetic) / n
    ends = _interval(value, of_both, bias)
    return KernelDistance(value, of_synthetic.error, of_both.error, *ends)


class _Variance(NamedTuple):
    """The variance of the distance over the draw of one set or of both.

    jackknife  what the jackknife makes of it
    counted    the part of that which is of pairs: twice what they contribute
    pairs      what the pairs contribute
    """

    jackknife: float
    counted: float
    pairs: float

    @classmethod
    def within(
        cls, sums: KernelSums, cross: Tensor, others: int, influence: Tensor | None = None
    ) -> _Variance:
        """Return it for the draw of one set, with the pairs within that set.

        cross, others, influence  as `_jackknife` takes them
        """
        n = len(sums.rows)
        spread = _spread_within(sums)
        return cls(
            _jackknife(sums.rows, cross, others, influence),
            4 * spread / (n * max(n - 2, 1)),
            2 * spread / (n * (n - 1)),
        )

    @property
    def alone(self) -> float:
        """What each sample contributes by itself."""
        return _at_least_0(self.jackknife - self.counted)

    @property
    def error(self) -> float:
        """The standard error."""
        return math.sqrt(self.alone + self.pairs)


def _interval(value: float, variance: _Variance, bias: float) -> tuple[float, float]:
    """Return the 95% interval of the distance: all that lie within 1.96 of their own errors.

    bias  by how much the plain estimate, the squared distance of the mean embeddings, is too large;
          its own variance is what the jackknife says

    The variance grows with the distance, from that of pairs at 0, so value +- 1.96 errors is too
    wide below and too narrow above. How fast it grows is its ratio to the distance. Where nearly
    nothing differs, the plain estimate says that well: both parts of its ratio are positive. It
    is at most sqrt(8 pairs) there, as where all that varies does so along one direction. Beyond
    two errors of pairs the unbiased ratio is better where it is the larger.
    """
    error = math.sqrt(variance.pairs)
    growth = math.sqrt(8) * error
    if value + bias > 0:
        growth = min(growth, variance.jackknife / (value + bias))
    beyond = max(value, 2 * error)
    if beyond > 0:
        growth = max(growth, variance.alone / beyond)

    # The ends solve (value - t)^2 = 1.96^2 (pairs + growth max(t, 0)).
    half = NORMAL * growth / 2
    middle = value + NORMAL * half
    reach = NORMAL * math.sqrt(max(0.0, half * half + variance.pairs + growth * value))
    least = NORMAL * error
    low = middle - reach if value > least else value - least
    high = middle + reach if value > -least else value + least
    return low, high


def _at_least_0(variance: float) -> float:
    """Return an estimate of a variance that may be below 0, or NaN."""
    return 0.0 if variance < 0 else variance


def _jackknife(
    within: Tensor, cross: Tensor, others: int, influence: Tensor | None = None
) -> float:
    """Return the jackknife's variance over the n samples of one set; NaN for fewer than three.

    within     each sample's kernel sum over the rest of its set, [n]
    cross      its kernel sum over the other set, which has `others` samples, [n]
    influence  what it does besides, [n]
    """
    n = len(within)
    if n < 3:
        return float("nan")

    # n - 1 times the value without each of the samples in turn, up to a constant.
    without = -2 * within / (n - 2) + 2 * cross / others
    if influence is not None:
        without = without - influence
    return float(without.var()) / n


def _spread_within(sums: KernelSums) -> float:
    """Return the mean square of a set's doubly centred kernel; NaN for fewer than four samples.

    It is without bias by U-centring (Székely and Rizzo 2014), since plain means leave in it a part
    of the spread of row means, which is large where features share a large mean.
    """
    n = len(sums.rows)
    if n < 4:
        return float("nan")

    rows = sums.rows - sums.level * (n - 1)
    squares = sums.squares - 2 / (n - 2) * float(rows.square().sum())
    squares += float(rows.sum().square()) / ((n - 1) * (n - 2))
    return _at_least_0(squares / (n * (n - 3)))


def _spread_between(sums: KernelSums) -> float:
    """Return the mean square of the doubly centred kernel of two sets, without bias."""
    n = len(sums.rows)
    m = len(sums.columns)
    rows = sums.rows - sums.level * m
    columns = sums.columns - sums.level * n
    squares = sums.squares - float(rows.square().sum()) / m - float(columns.square().sum()) / n
    squares += float(rows.sum().square()) / (n * m)
    return _at_least_0(squares / ((n - 1) * (m - 1)))


def _mean_of_diagonal(sums: KernelSums) -> float:
    """Return by how much a set's kernel is larger on the diagonal than beside it, on average."""
    n = len(sums.rows)
    return sums.diagonal / n - float(sums.rows.sum()) / (n * (n - 1))
