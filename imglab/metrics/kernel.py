"""Kernel distance (KID; Bińkowski et al. 2018): unbiased MMD^2 under a cubic polynomial kernel."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from imglab.metrics.undefined import check_features

BLOCK = 1024
"""Rows and columns of the kernel matrix that are in memory at a time."""


class KernelDistance(NamedTuple):
    """The unbiased MMD^2, and its standard errors over redrawn samples of one or of both sets."""

    value: float
    of_synthetic: float
    of_both: float


class _Sums(NamedTuple):
    """Sums of a kernel matrix [N, M]: by row [N], by column [M], and of all squares."""

    rows: Tensor
    columns: Tensor
    squares: float


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
    mean = values.mean(0)

    # Rounding alone gives a constant dimension a deviation.
    deviation = values.std(0)
    is_constant = deviation <= 1e-12 * mean.abs()
    return (features.double() - mean) / deviation.where(~is_constant, torch.ones_like(deviation))


def kernel_distance_of_both(*, real: Tensor, synthetic: Tensor) -> KernelDistance:
    """Return the unbiased MMD^2 with its standard errors over one draw and over both.

    Each is the jackknife's. A jackknife counts the spread of pairs twice, which is all there is
    where the distributions are equal. So the error over both draws has that spread taken out once
    and is never below it: with h the doubly centred kernel of the pooled samples, it is E h^2
    times 2 / M(M-1) + 2 / N(N-1) + 4 / MN (Gretton et al. 2012, section 4, for the null).
    """
    check_features(real=real, synthetic=synthetic, at_least=2)
    x = real.double()
    y = synthetic.double()
    m = len(x)
    n = len(y)

    # Sums of the kernel over pairs of different samples, one for each sample.
    real_sums = _sums(x, x, is_self=True)
    synthetic_sums = _sums(y, y, is_self=True)
    cross = _sums(y, x)

    within = real_sums.rows.sum() / (m * (m - 1)) + synthetic_sums.rows.sum() / (n * (n - 1))
    value = float(within - 2 * cross.rows.sum() / (m * n))
    of_real = _jackknife(real_sums.rows, cross.columns, n)
    of_synthetic = _jackknife(synthetic_sums.rows, cross.rows, m)

    # E h^2 over the pooled pairs: mean square, less what the row means explain.
    pairs = (m + n) * (m + n - 1)
    rows = torch.cat([real_sums.rows + cross.columns, synthetic_sums.rows + cross.rows])
    row_means = rows / (m + n - 1)
    squares = (real_sums.squares + synthetic_sums.squares + 2 * cross.squares) / pairs
    of_pairs = float(squares - 2 * row_means.square().mean() + row_means.mean().square())
    of_pairs *= 2 / (m * (m - 1)) + 2 / (n * (n - 1)) + 4 / (m * n)

    jackknife = of_real**2 + of_synthetic**2
    error = math.sqrt(max(jackknife - of_pairs, of_pairs))
    return KernelDistance(value, of_synthetic, error)


def rough_kernel_distance(*, real: Tensor, synthetic: Tensor) -> float:
    """Return the unbiased MMD^2 of float32 features of about unit size, to about 1e-6.

    It takes a fraction of the time of the others, which is worth it for many pairs of sets.
    """
    m = len(real)
    n = len(synthetic)
    within_real = _sum_of_kernel(real, real) - _sum_of_diagonal(real)
    within = _sum_of_kernel(synthetic, synthetic) - _sum_of_diagonal(synthetic)
    cross = _sum_of_kernel(real, synthetic)
    return within_real / (m * (m - 1)) + within / (n * (n - 1)) - 2 * cross / (m * n)


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


def _sums(a: Tensor, b: Tensor, *, is_self: bool = False) -> _Sums:
    """Add up kernel(a_i, b_j), block by block; is_self: a is b, and i = j is left out."""
    rows = torch.zeros(len(a), dtype=a.dtype)
    columns = torch.zeros(len(b), dtype=b.dtype)
    squares = 0.0
    for i in range(0, len(a), BLOCK):
        for j in range(0, len(b), BLOCK):
            kernel = (a[i : i + BLOCK] @ b[j : j + BLOCK].T).div_(a.shape[1]).add_(1).pow_(3)
            if is_self and i == j:
                kernel.fill_diagonal_(0)
            rows[i : i + BLOCK] += kernel.sum(1)
            columns[j : j + BLOCK] += kernel.sum(0)
            squares += float(kernel.square_().sum())
    return _Sums(rows, columns, squares)


def _sum_of_kernel(a: Tensor, b: Tensor) -> float:
    """Add up kernel(a_i, b_j) over all pairs: rows in float32, their sums in float64."""
    total = 0.0
    for rows in a.split(BLOCK):
        kernel = (rows @ b.T).div_(a.shape[1]).add_(1)
        total += float((kernel * kernel).mul_(kernel).sum(1).double().sum())
    return total


def _sum_of_diagonal(a: Tensor) -> float:
    lengths = a.double().square().sum(1)
    return float(((lengths / a.shape[1] + 1) ** 3).sum())
