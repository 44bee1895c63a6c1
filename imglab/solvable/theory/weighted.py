"""Fits to real and synthetic data of which each part has a weight: the golden ratio.

He, Xu and Cheng (2502.18049): each generation has n new real samples and n of the last fit's draws,
and gives the real part the weight w. The best w for the mean of a normal distribution is
1/phi = .618, which is also what is left of n Var(mean). The real variance is 1; `t` counts fits, of
which the first has real data alone. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from imglab.solvable.theory.gaussian import Prediction

GOLDEN = (math.sqrt(5) - 1) / 2
"""1/phi, which solves w^2 = 1 - w."""


def weighted(n: int, weight: float) -> Iterator[Prediction]:
    """Yield the moments of fits t = 1, 2, ... that weigh the real part by w, exactly.

    With M_t = Var mu_t, M_1 = 1/n and V = 1 - M, the expected maximum-likelihood variance,
    M_{t+1} = (w^2 + (1-w)^2 V_t) / n + (1-w)^2 M_t.
    """
    mean_variance = 1 / n
    while True:
        yield Prediction(1 - mean_variance, mean_variance)
        drawn = (1 - mean_variance) / n + mean_variance
        mean_variance = weight**2 / n + (1 - weight) ** 2 * drawn


def unit_variance(n: int, weight: float) -> Iterator[float]:
    """Yield M_t where only the mean is fitted, and draws have the true variance: V = 1."""
    mean_variance = 1 / n
    while True:
        yield mean_variance
        mean_variance = weight**2 / n + (1 - weight) ** 2 * (1 / n + mean_variance)


def stationary(weight: float) -> float:
    """Return the limit of n M_t with unit variance: (w^2 + (1-w)^2) / (1 - (1-w)^2).

    >>> round(stationary(GOLDEN), 3), round(stationary(0.5), 3)
    (0.618, 0.667)
    """
    return (weight**2 + (1 - weight) ** 2) / (1 - (1 - weight) ** 2)
