"""Kernel distance (KID; Bińkowski et al. 2018): the unbiased MMD^2 under a cubic polynomial kernel."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from imglab.metrics.undefined import check_features

BLOCK = 1024


def kernel_distance(*, real: Tensor, synthetic: Tensor) -> tuple[float, float]:
    """Return the unbiased MMD^2 and its standard error over the draw of `synthetic`.

    real, synthetic  float [N, D], N >= 2 (synthetic: 3), else `Undefined`

    Kernel (x . y / D + 1)^3. All pairs are used, so nothing is drawn at random; the usual estimate over random
    subsets has the same expectation and a larger variance. The error is the jackknife's over synthetic samples.
    """
    check_features(real=real, synthetic=synthetic, at_least=2)
    x, y = real.double(), synthetic.double()
    m, n = len(x), len(y)
    real_pairs = _row_sums(x, x).sum() - _self_kernel(x).sum()
    own = _row_sums(y, y) - _self_kernel(y)
    cross = _row_sums(y, x)
    value = real_pairs / (m * (m - 1)) + own.sum() / (n * (n - 1)) - 2 * cross.sum() / (m * n)
    if n < 3:
        return float(value), float("nan")
    without = (
        real_pairs / (m * (m - 1))
        + (own.sum() - 2 * own) / ((n - 1) * (n - 2))
        - 2 * (cross.sum() - cross) / (m * (n - 1))
    )
    return float(value), float(((n - 1) * without.var(correction=0)).sqrt())


def _row_sums(a: Tensor, b: Tensor) -> Tensor:
    """Sum over b of kernel(a_i, b), block by block, float64 [len(a)]."""
    return torch.cat(
        [
            sum(_kernel_blocks(rows, b), torch.zeros(len(rows), dtype=a.dtype))
            for rows in a.split(BLOCK)
        ]
    )


def _kernel_blocks(rows: Tensor, b: Tensor) -> Iterator[Tensor]:
    for columns in b.split(BLOCK):
        yield (rows @ columns.T).div_(rows.shape[1]).add_(1).pow_(3).sum(1)


def _self_kernel(a: Tensor) -> Tensor:
    return (a.square().sum(1) / a.shape[1] + 1) ** 3
