"""What repeated refitting does to Bernoulli and Poisson distributions.

Suresh et al. 2024, "Rate of Model Collapse in Recursive Training" (2412.17646). `n` is the number
of samples per generation, `t` counts fits. Both means are martingales that stop for ever at the
border: at 0, and at 1 for Bernoulli. Bernoulli loses its expected variance by 1 - 1/n a fit;
Poisson keeps it, while its mean errs by t lambda / n and nearly all chains end at 0. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice

from imglab.solvable.theory.case import Case, Curve
from imglab.solvable.theory.gaussian import Prediction
from imglab.solvable.theory.moments import Estimator, moments


@dataclass(frozen=True)
class PoissonFit:
    """Moments of a fitted Poisson distribution: its expected variance is the true mean."""

    mean: float
    sampling_bias: float = 1.0

    def fit(self, size: int, second_moment: float, mean_variance: float) -> Prediction:
        """Return what is fitted to `size` samples with these expectations."""
        return Prediction(self.mean, mean_variance)


def bernoulli_variance(p: float, n: int, t: int) -> float:
    """Return E p_t (1 - p_t) of the t-th fit to the last one's draws: p (1-p) (1 - 1/n)^t."""
    return p * (1 - p) * (1 - 1 / n) ** t


def poisson_mean_error(mean: float, n: int, t: int) -> float:
    """Return E (lambda_t - lambda)^2 of the t-th fit to the last one's draws: t lambda / n."""
    return t * mean / n


def poisson_extinction(mean: float, n: int, t: int) -> float:
    """Return the chance that the t-th fit to the last one's draws is 0, exactly.

    The sum of n Poisson draws is a branching process with Poisson(1) offspring, so that it is
    exp(-n lambda (1 - q_{t-1})), with q_0 = 0 and q_k = exp(q_{k-1} - 1).
    """
    extinct = 0.0
    for _ in range(t - 1):
        extinct = math.exp(extinct - 1)
    return math.exp(-n * mean * (1 - extinct))


def predict_counts(case: Case) -> dict[str, Curve]:
    """Return what is expected of the mean, the variance and the chance of collapse."""
    if not case.is_even:
        return {}

    bernoulli = case.data.distribution == "bernoulli"
    fit: Estimator | PoissonFit = PoissonFit(case.data.mean)
    if bernoulli:
        fit = Estimator()
    fits = list(islice(moments(case, fit, case.data.variance), case.generations))

    curves: dict[str, Curve] = {
        "mean_error": [each.mean_variance for each in fits],
        "variance": [each.variance for each in fits],
    }
    if case.composition.trains_on == "last":
        collapsed = _poisson_collapsed(case)
        if bernoulli:
            collapsed = _bernoulli_collapsed(case)
        curves["collapsed"] = case.curve(collapsed)
    return curves


def _poisson_collapsed(case: Case) -> Iterator[float]:
    for t in count(1):
        yield poisson_extinction(case.data.mean, case.real, t)


def _bernoulli_collapsed(case: Case) -> Iterator[float]:
    """Yield the chance that one of the two values is left, where it is computed exactly."""
    import torch

    from imglab.solvable.theory.categories import EXACT, survivors

    if case.real > EXACT:
        return
    p = case.data.mean
    for alive in survivors(torch.tensor([p, 1 - p], dtype=torch.float64), case.real):
        yield 2 - alive
