"""Kernel distance (KID; Bińkowski et al. 2018): unbiased MMD^2 under a cubic polynomial kernel."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from imglab.metrics.points import Points, in_one_frame
from imglab.metrics.strips import sums, zeros
from imglab.metrics.tiles import Tile, sweep, tiles
from imglab.metrics.undefined import check_features

SUMMED = 256
"""Elements of a kernel matrix that are added up in its own precision."""


class KernelDistance(NamedTuple):
    """The unbiased MMD^2, and its standard errors over redrawn samples of one or of both sets."""

    value: float
    of_synthetic: float
    of_both: float


class KernelSums(NamedTuple):
    """Sums of a kernel matrix [N, M]: by row [N], by column [M], and of squares about a level.

    Of a set with itself they leave out the diagonal, and there are no sums by column.
    """

    rows: Tensor
    columns: Tensor
    squares: float
    level: float

    def squares_about(self, level: float, count: int) -> float:
        """Return the sum of the squares of `count` entries about another level."""
        shift = self.level - level
        rest = float(self.rows.sum()) - self.level * count
        return self.squares + 2 * shift * rest + shift * shift * count


def kernel_distance(*, real: Tensor, synthetic: Tensor) -> tuple[float, float]:
    """Return the unbiased MMD^2 and its standard error over the draw of `synthetic`.

    real, synthetic  float [N, D], N >= 2, else `Undefined`; with two synthetic samples the error
                     is NaN

    The kernel is (x . y / D + 1)^3. All pairs are used, so nothing is drawn at random; the usual
    estimate over random subsets has the same expectation and a larger variance. The error is the
    jackknife's over synthetic samples.
    """
    distance = kernel_distance_of_both(real=real, synthetic=synthetic)
    return distance.value, distance.of_synthetic


def kernel_distance_standardised(*, real: Tensor, synthetic: Tensor) -> tuple[float, float]:
    """Return `kernel_distance` of features standardised by the real set's mean and deviation.

    The kernel of raw features depends on their unit and on their mean: of features that are
    never negative it has no scale that can be read. Standardised, each dimension counts alike,
    and 0 is no difference.
    A dimension that is constant in the real set is only centred: in it there is no scale, so it
    counts in its own unit. Errors of it hold the standardisation fixed.
    """
    return kernel_distance(
        real=standardised(real, by=real), synthetic=standardised(synthetic, by=real)
    )


def standardised(features: Tensor, *, by: Tensor) -> Tensor:
    """Return (features - mean) / deviation, float64 [N, D], both of `by` [M, D], M >= 2."""
    values = by.double()
    return Standard.of(values.mean(0), values.var(0)).of_rows(features)


class Standard(NamedTuple):
    """A mean and a deviation, float64 [D] each, by which features are standardised."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, mean: Tensor, variance: Tensor) -> Standard:
        """Choose them from the mean and the variance of a set; a constant is only centred."""
        deviation = variance.sqrt()

        # Rounding alone gives a constant dimension a deviation.
        is_constant = deviation <= 1e-12 * mean.abs()
        return cls(mean, deviation.where(~is_constant, torch.ones_like(deviation)))

    def of_rows(self, features: Tensor) -> Tensor:
        """Standardise features [N, D], float64."""
        rows = features.to(torch.float64, copy=True)
        return rows.sub_(self.mean).div_(self.deviation)


class StandardPoints(Points):
    """Distinct rows, standardised, as `tiles` takes them: for their products alone."""

    def __init__(self, points: Points, standard: Standard) -> None:
        vars(self).update(vars(points))
        self._standard = standard

    def part(self, which: slice) -> tuple[Tensor, Tensor]:
        """Return some distinct rows, [B, D], and zeros for their lengths, [B]."""
        rows = super().part(which)[0]
        return rows, rows.new_zeros(len(rows))

    def _moved(self, which: Tensor) -> Tensor:
        return self._standard.of_rows(self.rows[which]).to(self.dtype)

    def kernel_terms(self) -> tuple[float, Tensor]:
        """Return what `Points.kernel_terms` does."""
        return 1 / self.rows.shape[1], torch.full((len(self),), 0.5, dtype=torch.float64)


class KernelMatrix:
    """Adds up the kernel of all pairs, tile by tile; a consumer of `tiles`.

    The kernel is (x . y / D + 1)^3 of the samples themselves, whatever the frame of the products.
    With x . y / D + 1 = l + r and a common l, it is l^3 + r (3 l^2 + r (3 l + r)). The second part
    is small, so that rounding it to the precision of the products costs few digits; the first
    part, and all sums, are in float64.
    """

    def __init__(self, points: Points, others: Points) -> None:
        """Begin; `points` are `others`: without the diagonal, from the tiles on and above it."""
        self._points = points
        self._others = others
        self._scale, offsets = points.kernel_terms()
        other_offsets = others.kernel_terms()[1]
        self._level = float(offsets.median() + other_offsets.median())
        # A product, since a power that leaves float64 is an error, not infinite.
        self._cube = self._level * self._level * self._level
        self._offsets = offsets - offsets.median()
        self._other_offsets = other_offsets - other_offsets.median()
        self._rows = zeros(len(points))
        self._columns = sums(len(others))
        self._squares = zeros(len(points))

    @property
    def sums(self) -> KernelSums:
        """The sums of what has been added, with a row for each sample."""
        rows = self._rows.values
        if self._points is self._others:
            rows = rows + self._columns.values
        columns = self._columns.values[self._others.inverse]
        squares = float(self._squares.values.sum())
        return KernelSums(rows[self._points.inverse], columns, squares, self._cube)

    def above_level(self, tile: Tile) -> Tensor:
        """Return the kernel of a tile's pairs, less the level that all have in common, [B, C]."""
        dtype = tile.products.dtype
        rest = tile.products * self._scale
        rest += self._offsets[tile.rows, None].to(dtype)
        rest += self._other_offsets[tile.columns].to(dtype)
        kernel = rest + 3 * self._level
        kernel *= rest
        kernel += 3 * self._level * self._level
        kernel *= rest
        return kernel

    def add(self, tile: Tile) -> None:  # noqa: D102
        kernel = self.above_level(tile)
        level = self._cube

        weights = self._points.weight[tile.rows].double()
        other_weights = self._others.weight[tile.columns].double()
        if tile.is_diagonal:
            # A row's repeats count, the sample itself does not: it may exceed all else by far.
            alone = kernel.diagonal().to(torch.float64, copy=True)
            kernel.fill_diagonal_(0)
            self._rows.of(tile).add_((weights - 1) * alone - level)
            self._squares.of(tile).add_(weights * (weights - 1) * alone.square())

        of_rows = _sum(kernel, other_weights, 1)
        self._rows.of(tile).add_(of_rows + level * other_weights.sum())
        if not tile.is_diagonal:
            self._columns.add(tile, _sum(kernel, weights, 0) + level * weights.sum())

        squares = weights * _sum(kernel.square_(), other_weights, 1)
        if self._points is self._others and not tile.is_diagonal:
            squares *= 2  # the mirror image counts, too
        self._squares.of(tile).add_(squares)

    def gather(self) -> None:  # noqa: D102
        self._rows.gather()
        self._columns.gather()
        self._squares.gather()


def _sum(values: Tensor, weights: Tensor, dim: int) -> Tensor:
    """Return sums over a dimension, each entry as often as its weight says, float64."""
    if bool((weights != 1).any()):
        return (values.double() * weights.unsqueeze(1 - dim)).sum(dim)
    total = torch.zeros(values.shape[1 - dim], dtype=torch.float64)
    for part in values.split(SUMMED, dim):
        total += part.sum(dim)
    return total


def sums_within(points: Points) -> KernelSums:
    """Return the sums of a set's kernel with itself."""
    matrix = KernelMatrix(points, points)
    sweep(tiles(points, points, half=True), [matrix])
    return matrix.sums


def sums_between(points: Points, others: Points) -> KernelSums:
    """Return the sums of the kernel between two sets."""
    matrix = KernelMatrix(points, others)
    sweep(tiles(points, others), [matrix])
    return matrix.sums


def kernel_distance_of_both(*, real: Tensor, synthetic: Tensor) -> KernelDistance:
    """Return the unbiased MMD^2 with its standard errors over one draw and over both."""
    check_features(real=real, synthetic=synthetic, at_least=2)
    reals, synthetics = in_one_frame(real, synthetic)
    return kernel_distance_of_sums(
        real=sums_within(reals),
        synthetic=sums_within(synthetics),
        cross=sums_between(synthetics, reals),
    )


def kernel_distance_of_sums(
    *, real: KernelSums, synthetic: KernelSums, cross: KernelSums
) -> KernelDistance:
    """Return the unbiased MMD^2 with its errors, from the sums of three kernel matrices.

    cross  its rows are the synthetic samples, its columns the real ones

    Each error is the jackknife's. A jackknife counts the spread of pairs twice, which is all there
    is where the distributions are equal. So the error over both draws has that spread taken out
    once and is never below it: with h the doubly centred kernel of the pooled samples, it is E h^2
    times 2 / M(M-1) + 2 / N(N-1) + 4 / MN (Gretton et al. 2012, section 4, for the null). E h^2 is
    estimated without bias by U-centring (Székely and Rizzo 2014), since plain means leave in it
    a part of the spread of row means, which is large where features share a large mean.
    """
    m = len(real.rows)
    n = len(synthetic.rows)

    within = real.rows.sum() / (m * (m - 1)) + synthetic.rows.sum() / (n * (n - 1))
    value = float(within - 2 * cross.rows.sum() / (m * n))
    of_real = _jackknife(real.rows, cross.columns, n)
    of_synthetic = _jackknife(synthetic.rows, cross.rows, m)

    # E h^2 over the pooled pairs: squares, less what the sums of rows explain. All is about one
    # level, since the rest may be small beside it.
    total = m + n
    level = cross.level
    rows = torch.cat([real.rows + cross.columns, synthetic.rows + cross.rows])
    rows -= level * (total - 1)
    squares = real.squares_about(level, m * (m - 1)) + 2 * cross.squares
    squares += synthetic.squares_about(level, n * (n - 1))
    squares -= 2 / (total - 2) * float(rows.square().sum())
    squares += float(rows.sum().square()) / ((total - 1) * (total - 2))
    of_pairs = squares / (total * (total - 3))
    of_pairs *= 2 / (m * (m - 1)) + 2 / (n * (n - 1)) + 4 / (m * n)

    jackknife = of_real**2 + of_synthetic**2
    error = math.sqrt(max(jackknife - of_pairs, of_pairs))
    return KernelDistance(value, of_synthetic, error)


def _jackknife(within: Tensor, cross: Tensor, others: int) -> float:
    """Return the jackknife's error over the n samples of one set; NaN for fewer than three.

    within  each sample's kernel sum over the rest of its set, [n]
    cross   its kernel sum over the other set, which has `others` samples, [n]
    """
    n = len(within)
    if n < 3:
        return float("nan")

    # The value without each of the samples in turn, up to what does not depend on them.
    without = (within.sum() - 2 * within) / ((n - 1) * (n - 2))
    without = without - 2 * (cross.sum() - cross) / ((n - 1) * others)
    return float(((n - 1) * without.var(correction=0)).sqrt())
