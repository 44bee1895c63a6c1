"""Kernel distance (KID; Bińkowski et al. 2018): unbiased MMD^2 under a cubic polynomial kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from imglab.metrics.kernel_errors import KernelDistance, KernelSums, kernel_distance_of_sums
from imglab.metrics.points import Points, in_one_frame
from imglab.metrics.standard import Standard, influence_of_standard, standardised
from imglab.metrics.strips import sums, zeros
from imglab.metrics.tiles import Tile, sweep, tiles
from imglab.metrics.undefined import check_features

SUMMED = 256
"""Elements of a kernel matrix that are added up in its own precision."""


def kernel_distance(*, real: Tensor, synthetic: Tensor) -> tuple[float, float]:
    """Return the unbiased MMD^2 and its standard error over the draw of `synthetic`.

    real, synthetic  float [N, D], N >= 2, else `Undefined`; with fewer than four synthetic samples
                     the error is NaN

    The kernel is (x . y / D + 1)^3. All pairs are used, so nothing is drawn at random; the usual
    estimate over random subsets has the same expectation and a larger variance.
    `kernel_distance_of_sums` says how the error comes about.
    """
    distance = kernel_distance_of_both(real=real, synthetic=synthetic)
    return distance.value, distance.of_synthetic


def kernel_distance_standardised(*, real: Tensor, synthetic: Tensor) -> tuple[float, float]:
    """Return `kernel_distance` of features standardised by the real set's mean and deviation.

    The kernel of raw features depends on their unit and on their mean: of features that are
    never negative it has no scale that can be read. Standardised, each dimension counts alike,
    and 0 is no difference.
    A dimension that is constant in the real set is only centred: in it there is no scale, so it
    counts in its own unit.
    """
    return kernel_distance(
        real=standardised(real, by=real), synthetic=standardised(synthetic, by=real)
    )


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
        self._diagonal = zeros(len(points))

    @property
    def sums(self) -> KernelSums:
        """The sums of what has been added, with a row for each sample."""
        rows = self._rows.values
        if self._points is self._others:
            rows = rows + self._columns.values
        columns = self._columns.values[self._others.inverse]
        squares = float(self._squares.values.sum())
        diagonal = float(self._diagonal.values.sum())
        return KernelSums(rows[self._points.inverse], columns, squares, self._cube, diagonal)

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
            self._diagonal.of(tile).add_(weights * (alone + level))
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
        self._diagonal.gather()


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
    """Return the unbiased MMD^2 with its standard errors and its interval."""
    check_features(real=real, synthetic=synthetic, at_least=2)
    reals, synthetics = in_one_frame(real, synthetic)
    return _distance(reals, synthetics)


def standard_distance_of_both(*, real: Tensor, synthetic: Tensor) -> KernelDistance:
    """Return the same of features standardised by the real set's mean and deviation."""
    check_features(real=real, synthetic=synthetic, at_least=2)
    standard = Standard.of(real.double().mean(0), real.double().var(0))
    reals, synthetics = in_one_frame(standard.of_rows(real), standard.of_rows(synthetic))
    return _distance(reals, synthetics, influence_of_standard(real, synthetic, standard))


def _distance(reals: Points, synthetics: Points, influence: Tensor | None = None) -> KernelDistance:
    return kernel_distance_of_sums(
        real=sums_within(reals),
        synthetic=sums_within(synthetics),
        cross=sums_between(synthetics, reals),
        influence=influence,
    )
