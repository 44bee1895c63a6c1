"""Kernel distance (KID; Bińkowski et al. 2018): unbiased MMD^2 under a cubic polynomial kernel."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from imglab.metrics.undefined import check_features

BLOCK = 1024
"""Rows and columns of the kernel matrix that are in memory at a time."""


def kernel_distance(*, real: Tensor, synthetic: Tensor) -> tuple[float, float]:
    """Return the unbiased MMD^2 and its standard error over the draw of `synthetic`.

    real, synthetic  float [N, D], N >= 2, else `Undefined`; with two synthetic samples the error
                     is NaN

    The kernel is (x . y / D + 1)^3. All pairs are used, so nothing is drawn at random; the usual
    estimate over random subsets has the same expectation and a larger variance. The error is the
    jackknife's over synthetic samples.
    """
    check_features(real=real, synthetic=synthetic, at_least=2)
    x = real.double()
    y = synthetic.double()
    m = len(x)
    n = len(y)

    # Sums of the kernel over pairs of different samples, one for each synthetic sample.
    real_pairs = _row_sums(x, x).sum() - _self_kernel(x).sum()
    within = _row_sums(y, y) - _self_kernel(y)  # [N]
    cross = _row_sums(y, x)  # [N]

    value = real_pairs / (m * (m - 1)) + within.sum() / (n * (n - 1)) - 2 * cross.sum() / (m * n)
    if n < 3:
        return float(value), float("nan")

    # The jackknife: the same value without each of the synthetic samples in turn.
    without = (
        real_pairs / (m * (m - 1))
        + (within.sum() - 2 * within) / ((n - 1) * (n - 2))
        - 2 * (cross.sum() - cross) / (m * (n - 1))
    )
    return float(value), float(((n - 1) * without.var(correction=0)).sqrt())


def _row_sums(a: Tensor, b: Tensor) -> Tensor:
    """Sum kernel(a_i, b_j) over j, block by block, float64 [len(a)]."""
    sums = []
    for rows in a.split(BLOCK):
        zeros = torch.zeros(len(rows), dtype=a.dtype)
        sums.append(sum(_kernel_sums(rows, b), zeros))
    return torch.cat(sums)


def _kernel_sums(rows: Tensor, b: Tensor) -> Iterator[Tensor]:
    """Yield the kernel's sums over each block of b, float64 [len(rows)]."""
    for columns in b.split(BLOCK):
        yield (rows @ columns.T).div_(rows.shape[1]).add_(1).pow_(3).sum(1)


def _self_kernel(a: Tensor) -> Tensor:
    """Return kernel(a_i, a_i), float64 [len(a)]."""
    return (a.square().sum(1) / a.shape[1] + 1) ** 3
