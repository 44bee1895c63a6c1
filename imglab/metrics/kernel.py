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
    """The unbiased MMD^2, and its standard errors over the draws of the two sets.

    of_real, of_synthetic  the parts that each draw contributes; their squares add
    """

    value: float
    of_real: float
    of_synthetic: float

    @property
    def error(self) -> float:
        """The standard error over redrawn real and synthetic sets."""
        return math.hypot(self.of_real, self.of_synthetic)


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
    and two sets whose means differ by one standard deviation in every dimension are at about 1.7.
    A dimension that is constant in the real set is only centred: in it there is no scale, so it
    counts in its own unit.
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
    """Return the same with the errors over both draws, each the jackknife's over its samples.

    Where the distributions are equal, the jackknife counts the spread about 1.4 times too large.
    """
    check_features(real=real, synthetic=synthetic, at_least=2)
    x = real.double()
    y = synthetic.double()

    # Sums of the kernel over pairs of different samples, one for each sample.
    of_real = _sums(x, x)[0] - _self_kernel(x)  # [M]
    of_synthetic = _sums(y, y)[0] - _self_kernel(y)  # [N]
    cross, cross_of_real = _sums(y, x)  # [N], [M]

    value = _mean_of_pairs(of_real) + _mean_of_pairs(of_synthetic) - 2 * cross.sum() / (
        len(x) * len(y)
    )
    return KernelDistance(
        float(value), _jackknife(of_real, cross_of_real, len(y)), _jackknife(of_synthetic, cross, len(x))
    )


def _mean_of_pairs(sums: Tensor) -> Tensor:
    return sums.sum() / (len(sums) * (len(sums) - 1))


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


def _sums(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Sum kernel(a_i, b_j) over j and over i, block by block, float64 [len(a)], [len(b)]."""
    rows = torch.zeros(len(a), dtype=a.dtype)
    columns = torch.zeros(len(b), dtype=b.dtype)
    for i in range(0, len(a), BLOCK):
        for j in range(0, len(b), BLOCK):
            kernel = _kernel(a[i : i + BLOCK], b[j : j + BLOCK])
            rows[i : i + BLOCK] += kernel.sum(1)
            columns[j : j + BLOCK] += kernel.sum(0)
    return rows, columns


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T).div_(a.shape[1]).add_(1).pow_(3)


def _self_kernel(a: Tensor) -> Tensor:
    """Return kernel(a_i, a_i), float64 [len(a)]."""
    return (a.square().sum(1) / a.shape[1] + 1) ** 3
