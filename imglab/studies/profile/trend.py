"""What the generations of one chain show: a change, and a pace that goes on or levels off.

Values are float [T] of one metric, generation by generation, signed so that a rise is harm. One
chain is all there is, so the noise is estimated from its own differences between generations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
FEWEST = 5
"""With fewer generations nothing is decided."""
LEVEL = 0.95
"""Probability with which an interval covers what it is about, each by itself."""


@dataclass(frozen=True)
class Estimate:
    """An estimate with its 95% interval."""

    value: float
    low: float
    high: float


def change(values: Values, errors: Values) -> Estimate:
    """Return by how much the mean of the last half lies above generation 0.

    The interval is that of a prediction: generation 0 is compared with where it would lie if it
    were one more of the later ones, difference +- t s sqrt(1 + 1/k) for k later generations. It
    comes from the chain's own noise or from the errors, whichever gives the wider one.

    errors  standard error of each value, float [T]; 0 where it has none
    """
    later = values[len(values) // 2 :]
    rise = float(later.mean() - values[0])
    of_both = math.sqrt(1 + 1 / len(later))
    spread, freedom = noise(values[1:])
    by_chain = _interval(rise, spread * of_both, freedom)

    # The generations may lie closer together by luck than their measurement allows.
    error = math.sqrt(float(np.square(errors).mean()))
    by_measurement = _interval(rise, error * of_both, math.inf)
    return max(by_chain, by_measurement, key=lambda each: each.high - each.low)


def noise(values: Values) -> tuple[float, float]:
    """Return the standard deviation of one generation about a straight line, and its freedom.

    It comes from the differences of neighbours (von Neumann 1941) less their mean, so that neither
    a steady trend nor a slow curve counts as noise. The degrees of freedom are Satterthwaite's for
    independent values.
    """
    count = len(values) - 1
    difference = np.diff(np.eye(len(values)), axis=0)
    centred = difference - difference.mean(0)

    form = centred @ centred.T
    trace = float(np.trace(form))
    spread = math.sqrt(float(np.square(centred @ values).sum()) / trace)
    freedom = trace**2 / float(np.square(form).sum())
    return spread, min(freedom, count)


def pace(values: Values) -> Estimate:
    """Return the rise in a generation, with an interval that holds whatever the noise is.

    Generations that differ independently call for a fitted line, those that add up their errors (a
    random walk) for the mean of the increments. The wider of the two intervals is returned: a line
    through a random walk claims far too much.
    """
    fitted = slope(np.arange(len(values), dtype=np.float64), values)

    increments = np.diff(values)
    error = float(increments.std(ddof=1)) / math.sqrt(len(increments))
    walked = _interval(float(increments.mean()), error, len(values) - 2)

    return max(fitted, walked, key=lambda each: each.high - each.low)


def slope(x: Values, y: Values) -> Estimate:
    """Return the slope of the least-squares line through the points x, y, float [N], N > 2."""
    centred = x - x.mean()
    extent = float(centred @ centred)
    rise = float(centred @ y) / extent

    residuals = y - y.mean() - rise * centred
    error = math.sqrt(float(residuals @ residuals) / (len(x) - 2) / extent)
    return _interval(rise, error, len(x) - 2)


def steadiness(values: Values) -> Estimate:
    """Return the pace of the last half less half the pace of the first half.

    Growth at one pace gives half that pace, a plateau minus half the pace with which it was
    reached, and no trend 0. If the first half fell, its pace counts as 0: a fall that ends is not a
    rise. Increments are taken as independent; if the values themselves are, the interval is wider
    than it need be.
    """
    increments = np.diff(values)
    first, last = np.split(increments, [len(increments) // 2])
    freedom = len(increments) - 2

    weight = 0.5
    if first.mean() <= 0:
        weight = 0.0
    squares = sum(float(np.square(half - half.mean()).sum()) for half in (first, last))
    error = math.sqrt(squares / freedom * (1 / len(last) + weight**2 / len(first)))
    return _interval(float(last.mean() - weight * first.mean()), error, freedom)


def _interval(value: float, error: float, freedom: float) -> Estimate:
    from scipy import special

    reach = float(special.stdtrit(freedom, 0.5 + LEVEL / 2)) * error
    return Estimate(value, value - reach, value + reach)
