"""What repeated blurring does: a kernel of standard deviation h around each of n draws.

The real variance is 1, in one dimension; `t` counts fits. The model's variance is that of its n
points, divided by n, plus h^2.
"""

from __future__ import annotations

from imglab.solvable.theory.gaussian import Prediction


def kde_replace(n: int, t: int, bandwidth: float) -> Prediction:
    """Predict a chain in which each fit sees only the last one's draws.

    E V = r^t + n h^2 (1 - r^t) with r = 1 - 1/n, and Var mu = 1 + t h^2 - E V. As n grows without
    bound, E V tends to 1 + t h^2; with finite n the lost variance wins in the end, and
    E V -> n h^2.
    """
    shrinkage = (1 - 1 / n) ** t
    variance = shrinkage + n * bandwidth**2 * (1 - shrinkage)
    return Prediction(variance, 1 + t * bandwidth**2 - variance)


def kde_accumulate_limit(t: int, bandwidth: float) -> float:
    """Return V if all draws so far are trained on and n is infinite: 1 + h^2 sum_{k<=t} 1/k."""
    return 1 + bandwidth**2 * sum(1 / k for k in range(1, t + 1))


def kde_fresh_mix_limit(t: int, bandwidth: float, real_fraction: float) -> float:
    """Return V if a share alpha of each training set is fresh real data and n is infinite.

    It is 1 + h^2 (1 - (1-alpha)^t) / alpha.
    """
    return 1 + bandwidth**2 * (1 - (1 - real_fraction) ** t) / real_fraction
