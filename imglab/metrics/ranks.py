"""The probability that one kind of number is larger than another, and its standard error."""

from __future__ import annotations

import math

import torch
from torch import Tensor

NORMAL = 1.96
"""Deviations of a normal distribution between which 95% lie."""


def area_under_curve(*, higher: Tensor, lower: Tensor) -> tuple[float, float]:
    """Return P(a value of `higher` > one of `lower`), ties counted half, and its standard error.

    higher, lower  float [N] and [M], N >= 1 and M >= 1; the error is NaN if one of them is 1

    It is the Mann-Whitney statistic over N M, the area under the receiver operating curve. The
    error is that of DeLong et al. 1988: the variances of the two samples' placements add.

    >>> area_under_curve(higher=torch.tensor([2.0, 3.0]), lower=torch.tensor([1.0, 2.0]))[0]
    0.875
    """
    of_higher = _placements(higher, lower)
    of_lower = _placements(lower, higher)
    variance = of_higher.var() / len(higher) + of_lower.var() / len(lower)
    return float(of_higher.mean()), float(variance.sqrt())


def null_of_area(n: float, m: float) -> dict[str, float]:
    """Return mean, deviation and 95% range of the area where both samples are of one distribution.

    The deviation is that of the rank-sum statistic, sqrt((n + m + 1) / (12 n m)) for n and m values
    (Mann and Whitney 1947); with ties it is smaller.
    """
    return normal_range(0.5, ((n + m + 1) / (12 * n * m)) ** 0.5, least=0.0, most=1.0)


def normal_range(
    mean: float, deviation: float, *, least: float = -math.inf, most: float = math.inf
) -> dict[str, float]:
    """Return mean, deviation and 95% range of a normal distribution, as floors hold them.

    least, most  ends of the range that the metric can have
    """
    reach = NORMAL * deviation
    ends = {"low": max(least, mean - reach), "high": min(most, mean + reach)}
    return {"mean": mean, "sd": deviation, **ends}


def _placements(values: Tensor, others: Tensor) -> Tensor:
    """Return for each value the share of the others below it, ties counted half, float64 [N]."""
    ordered = others.sort().values
    below = torch.searchsorted(ordered, values)
    not_above = torch.searchsorted(ordered, values, right=True)
    return (below + not_above).double() / (2 * len(others))
