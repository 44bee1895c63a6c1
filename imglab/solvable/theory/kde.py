"""What repeated blurring does: a kernel of standard deviation h around each of n draws.

The real variance is 1, in one dimension. `t` counts fits. The model's variance is that of its n
points, divided by n, plus h^2.
"""

from __future__ import annotations

from imglab.solvable.theory.gaussian import Prediction


def kde_replace(n: int, t: int, bandwidth: float) -> Prediction:
    """Predict fits to the last fit's draws alone.

    E V = r^t + n h^2 (1 - r^t), r = 1 - 1/n, and Var mu = 1 + t h^2 - E V. In the limit of large n
    E V is 1 + t h^2; with finite n the lost variance wins in the end, and E V -> n h^2.
    """
    shrinkage = (1 - 1 / n) ** t  # r^t
    variance = shrinkage + n * bandwidth**2 * (1 - shrinkage)
    return Prediction(variance, 1 + t * bandwidth**2 - variance)


def kde_accumulate_limit(t: int, bandwidth: float) -> float:
    """Return V for fits to all draws so far, for large n: V = 1 + h^2 sum_{k<=t} 1/k."""
    return 1 + bandwidth**2 * sum(1 / k for k in range(1, t + 1))


def kde_fresh_mix_limit(t: int, bandwidth: float, real_fraction: float) -> float:
    """Return V for fits of which a share alpha is fresh real data, for large n.

    V = 1 + h^2 (1 - (1-alpha)^t) / alpha.
    """
    return 1 + bandwidth**2 * (1 - (1 - real_fraction) ** t) / real_fraction
