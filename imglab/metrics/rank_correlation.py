"""Do two measures put the same things in the same order?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from imglab.metrics.undefined import Undefined


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Spearman's rank correlation of pairs of numbers, in [-1, 1]; ties share their rank.

    Raises `Undefined` for fewer than three pairs, or where one side is constant.

    >>> spearman([1, 2, 3, 4], [10, 20, 40, 30])
    0.8
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} numbers are paired with {len(second)}")
    if len(first) < 3:
        raise Undefined(f"needs at least 3 pairs, has {len(first)}")

    left = _centred_ranks(first)
    right = _centred_ranks(second)
    scale = left.norm() * right.norm()
    if not scale > 0:
        raise Undefined("one side is constant")
    return round(float(left @ right / scale), 12)


def spearman_of_defined(first: Sequence[float | None], second: Sequence[float | None]) -> float:
    """Return `spearman` of the pairs of which both numbers are defined.

    >>> spearman_of_defined([1, 2, None, 3], [2, 4, 5, 6])
    1.0
    """
    pairs = [
        (one, other)
        for one, other in zip(first, second, strict=True)
        if one is not None and other is not None
    ]
    return spearman([one for one, _ in pairs], [other for _, other in pairs])


def _centred_ranks(values: Sequence[float]) -> Tensor:
    """Return ranks minus their mean, float64 [N]; equal values share the mean of their ranks."""
    _, inverse, counts = torch.tensor(values, dtype=torch.float64).unique(
        return_inverse=True, return_counts=True
    )
    last = counts.cumsum(0).double()
    ranks: Tensor = (last - (counts - 1) / 2)[inverse]
    return ranks - ranks.mean()
