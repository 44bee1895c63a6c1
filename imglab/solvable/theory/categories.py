"""What repeated resampling does to a categorical distribution: how the tail dies.

`n` is the number of draws per generation, `t` counts resamplings of the last generation's
frequencies, and `probabilities` [K] sum to 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

EXACT = 1000
"""Draws up to which the survivors of categories are counted exactly."""

RARE = 20
"""For more draws, the limit of rare categories is within 1% for n / RARE resamplings."""


def heterozygosity(probabilities: Tensor, n: int, t: int) -> float:
    """Return E(1 - sum p^2) after t resamplings: (1 - sum p0^2) (1 - 1/n)^t (Wright 1931)."""
    return float(1 - probabilities.double().square().sum()) * (1 - 1 / n) ** t


def absorption_time(probability: float, n: int) -> float:
    """Return the expected number of resamplings until one of two categories is left.

    For large n it is -2n [p ln p + (1-p) ln(1-p)].
    """
    return -2 * n * sum(p * math.log(p) for p in (probability, 1 - probability))


def absorption_time_uniform(categories: int, n: int) -> float:
    """Return the expected number of resamplings until one of K equal categories is left.

    For large n it is 2n (K-1) ln(K / (K-1)).
    """
    return 2 * n * (categories - 1) * math.log(categories / (categories - 1))


def surviving_categories(probabilities: Tensor, n: int, t: int) -> float:
    """Return the expected number of categories left, in the limit of rare ones.

    Each is a branching process with Poisson offspring: sum_i 1 - exp(-n p_i (1 - q_{t-1})), where
    q_0 = 0 and q_k = exp(q_{k-1} - 1) is the chance that the line of one draw has died out after k
    generations. t = 0 counts the probabilities above 0.
    """
    if t == 0:
        return float((probabilities > 0).sum())

    extinct = 0.0  # q_{t-1}
    for _ in range(t - 1):
        extinct = math.exp(extinct - 1)
    return float((1 - torch.exp(-n * probabilities.double() * (1 - extinct))).sum())


def alive_exactly(probabilities: Tensor, n: int, t: int) -> Tensor:
    """Return the chance of each category to be left after t >= 1 resamplings, float64 [K].

    One category's count is a Markov chain with binomial steps:
    alive_t(p) = sum_j Bin(j; n, p) alive_{t-1}(j/n).
    """
    counts = torch.arange(n + 1, dtype=torch.float64)
    alive = (counts > 0).double()
    if t > 1:
        steps = _binomial(counts / n, n)
        for _ in range(t - 1):
            alive = steps @ alive
    return _binomial(probabilities.double(), n) @ alive


def survivors(probabilities: Tensor, n: int) -> Iterator[float]:
    """Yield the expected number of categories left after t = 1, 2, ... resamplings, exactly.

    It sums `alive_exactly` over the categories. It holds n^2 + K n numbers in memory.
    """
    counts = torch.arange(n + 1, dtype=torch.float64)
    steps = _binomial(counts / n, n)
    first = _binomial(probabilities.double(), n)

    alive = (counts > 0).double()
    while True:
        yield float((first @ alive).sum())
        alive = steps @ alive


def _binomial(p: Tensor, n: int) -> Tensor:
    """Return Bin(j; n, p_i), float64 [len(p), n + 1]."""
    j = torch.arange(n + 1, dtype=torch.float64)
    log_ways = math.lgamma(n + 1) - torch.lgamma(j + 1) - torch.lgamma(n - j + 1)
    log_chances = log_ways + torch.xlogy(j, p[:, None]) + torch.xlogy(n - j, 1 - p[:, None])
    return log_chances.exp()
