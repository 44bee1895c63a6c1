"""Exponents of scaling laws, with intervals, and whether a law levels off.

An error that is measured at several sizes T, with several seeds at each, is compared with two laws:
error = A T^-c, and error = E + A T^-c, which levels off at E. No torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import least_squares

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class PowerLaw:
    """error = A T^-c.

    exponent   c, with its 95% interval from the scatter over seeds
    deviance   sum over sizes of squared misfits of the mean log error, in standard errors
    """

    exponent: float
    low: float
    high: float
    deviance: float


@dataclass(frozen=True)
class Plateau:
    """error = E + A T^-c.

    level      E
    exponent   c
    deviance   as for the power law
    evidence   difference of the two laws' criteria (AIC, corrected for few sizes): above 0, the law
               that levels off is the better one, and above 10 the other has no support
    """

    level: float
    exponent: float
    deviance: float
    evidence: float


def power_law(sizes: Vector, errors: Vector) -> PowerLaw:
    """Fit a power law to errors [seeds, sizes], all above 0, at sizes [sizes].

    Every seed has an exponent of its own, by least squares on logarithms; the interval is that of
    their mean. Raises ValueError with fewer than two seeds or three sizes.
    """
    slopes = exponents(sizes, errors)
    logs = np.log(errors)
    x = np.log(sizes) - np.log(sizes).mean()

    n = len(slopes)
    reach = float(stats.t.ppf(0.975, n - 1) * slopes.std(ddof=1) / math.sqrt(n))
    exponent = float(slopes.mean())
    # The mean curve is judged with the exponent that fits it best, given its errors.
    fitted = least_squares(lambda p: _misfit(p[0] - p[1] * x, logs), [logs.mean(), exponent])
    return PowerLaw(exponent, exponent - reach, exponent + reach, 2 * float(fitted.cost))


def exponents(sizes: Vector, errors: Vector) -> Vector:
    """Return the exponent c of each seed [seeds], by least squares on logarithms.

    Raises ValueError with fewer than two seeds or three sizes, or where an error is not above 0.
    """
    _check(errors)
    x = np.log(sizes) - np.log(sizes).mean()
    slopes: Vector = -(np.log(errors) @ x) / (x @ x)
    return slopes


def plateau(sizes: Vector, errors: Vector) -> Plateau:
    """Fit a law that levels off to errors [seeds, sizes], and compare it with one that does not.

    Needs five sizes, since it has three parameters; raises ValueError with fewer.
    """
    _check(errors)
    if len(sizes) < 5:
        raise ValueError("a law that levels off needs errors at five sizes or more")

    straight = power_law(sizes, errors)
    logs = np.log(errors)
    x = np.log(sizes / sizes[0])
    first = logs[:, 0].mean()

    def misfit(p: Vector) -> Vector:
        return _misfit(np.logaddexp(p[0], p[1] - np.exp(p[2]) * x), logs)

    # Begin where the law levels off early, and where it hardly does; the better fit counts.
    starts = [
        (logs[:, -1].mean() + drop, first, math.log(c)) for drop in (-0.1, -3) for c in (0.3, 1)
    ]
    fits = [least_squares(misfit, start) for start in starts]
    best = min(fits, key=lambda fit: float(fit.cost))

    deviance = 2 * float(best.cost)
    evidence = straight.deviance - deviance - (_penalty(3, len(sizes)) - _penalty(2, len(sizes)))
    level, _, log_exponent = best.x
    return Plateau(math.exp(level), math.exp(log_exponent), deviance, evidence)


def _misfit(law: Vector, logs: Vector) -> Vector:
    """Return how far the mean of logs [seeds, sizes] is from a law [sizes], in standard errors."""
    seeds = len(logs)
    error = np.maximum(logs.std(0, ddof=1) / math.sqrt(seeds), 1e-9)
    misfit: Vector = (logs.mean(0) - law) / error
    return misfit


def _penalty(parameters: int, n: int) -> float:
    """Return what Akaike's corrected criterion adds for so many parameters."""
    return 2 * parameters + 2 * parameters * (parameters + 1) / (n - parameters - 1)


def _check(errors: Vector) -> None:
    if errors.shape[0] < 2 or errors.shape[1] < 3:
        raise ValueError("an exponent with an interval needs two seeds and three sizes or more")
    if not (errors > 0).all():
        raise ValueError("errors must be above 0")
