"""What several seeds show: bands, paired contrasts, when a metric leaves the control's band.

Values are arrays float [seeds, generations] of one metric in one arm; NaN where it is undefined.
Metrics that are positive throughout are treated on the log scale, since their spread grows with
them; others are treated as they are. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
FEWEST = 5
"""With fewer seeds no verdict is given."""
LEVEL = 0.95
"""Probability with which an interval, or a band, covers what it is about."""


@dataclass(frozen=True)
class Band:
    """Mean and confidence band of the mean, float [generations] each; NaN where undefined."""

    mean: Values
    low: Values
    high: Values


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval and the two-sided p-value against no effect."""

    estimate: float
    low: float
    high: float
    p: float
    n: int


def is_positive(*values: Values) -> bool:
    """Say whether all defined values are above zero, so that their logarithms can be compared."""
    lowest = [float(np.nanmin(each)) for each in values if np.isfinite(each).any()]
    return bool(lowest) and min(lowest) > 0


def pooled_spread(values: Values) -> tuple[float, int]:
    """Return the pooled standard deviation between seeds and its degrees of freedom.

    Over generations, each one's variance about its own mean is averaged with n - 1 as its weight
    (the pooled variance of an analysis of variance). The generations of a seed are correlated, so
    the degrees of freedom are n - 1, those of one generation, not their sum: pooling makes the
    estimate steadier, and the intervals do not rely on that.
    """
    counts = np.isfinite(values).sum(0)
    usable = counts > 1
    if not usable.any():
        return math.nan, 0

    variances = np.nanvar(values[:, usable], axis=0, ddof=1)
    weights = counts[usable] - 1
    pooled = (variances * weights).sum() / weights.sum()
    return float(np.sqrt(pooled)), int(weights.max())


def band(values: Values, level: float = LEVEL) -> Band:
    """Return the mean over seeds and its t-interval in each generation.

    The mean is geometric where values are positive. Each generation's interval has the spread of
    its own seeds: a collapse changes that spread by orders of magnitude, and a spread pooled over
    generations would give the beginning that of the end.
    """
    log = is_positive(values)
    scaled = np.log(values) if log else values

    intervals = [mean_interval(column[np.isfinite(column)], level) for column in scaled.T]
    columns = np.array(
        [(each.estimate, each.low, each.high) for each in intervals], dtype=np.float64
    ).reshape(-1, 3)

    # An interval without bounds, as that of a single seed, cannot be drawn.
    mean, low, high = np.where(np.isfinite(columns), columns, np.nan).T
    if log:
        return Band(np.exp(mean), np.exp(low), np.exp(high))
    return Band(mean, low, high)


def paired(one: Values, two: Values, level: float = LEVEL) -> Interval:
    """Compare pairs, float [seeds] each: the mean difference one - two, by a paired t-test.

    Pairs with an undefined value are left out. With fewer than two pairs the interval is unbounded.
    """
    differences = (one - two)[np.isfinite(one) & np.isfinite(two)]
    return mean_interval(differences, level)


def mean_interval(values: Values, level: float = LEVEL) -> Interval:
    """Return the mean of values, float [n], with its t-interval and the p-value against zero.

    The interval is mean +- t s / sqrt(n), with t the quantile of Student's distribution with n - 1
    degrees of freedom. With fewer than two values it is unbounded and the p-value is NaN.
    """
    from scipy import stats

    n = len(values)
    if n == 0:
        return Interval(math.nan, -math.inf, math.inf, math.nan, 0)
    mean = float(values.mean())
    if n == 1:
        return Interval(mean, -math.inf, math.inf, math.nan, 1)

    error = float(values.std(ddof=1)) / math.sqrt(n)
    if error == 0:
        p = 0.0 if mean else 1.0
        return Interval(mean, mean, mean, p, n)

    half = float(stats.t.ppf(0.5 + level / 2, n - 1)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, n - 1))
    return Interval(mean, mean - half, mean + half, p, n)


def control_band(control: Values, level: float = LEVEL) -> tuple[Values, Values]:
    """Return the band in which one more seed of the control lies with probability `level`.

    Low and high are float [generations] each. It is a prediction interval,
    mean +- t s sqrt(1 + 1/n), with s pooled over generations.
    """
    from scipy import stats

    spread, freedom = pooled_spread(control)
    counts = np.isfinite(control).sum(0)
    mean = np.where(counts > 0, np.nansum(control, 0) / np.maximum(counts, 1), np.nan)
    if freedom == 0:
        return np.full_like(mean, -np.inf), np.full_like(mean, np.inf)

    t = stats.t.ppf(0.5 + level / 2, freedom)
    half = t * spread * np.sqrt(1 + 1 / np.maximum(counts, 1))
    return mean - half, mean + half


def first_leaves(values: Values, control: Values, level: float = LEVEL) -> list[int | None]:
    """Return, for each seed, from which generation a metric stays outside the control's band.

    None stands for a seed that never leaves it for good.
    """
    values, control = on_one_scale(values, control)
    low, high = control_band(control, level)
    return [_leaves(row, low, high) for row in values]


def false_alarm_rate(control: Values, level: float = LEVEL) -> float | None:
    """Return the share of the control's own seeds that leave the band of the others.

    None with fewer than three seeds.
    """
    if len(control) < 3:
        return None

    (scaled,) = on_one_scale(control)
    alarms = 0
    for seed, row in enumerate(scaled):
        low, high = control_band(np.delete(scaled, seed, axis=0), level)
        if _leaves(row, low, high) is not None:
            alarms += 1
    return alarms / len(scaled)


def clopper_pearson(count: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the exact interval of a probability from `count` successes in n trials.

    Clopper and Pearson 1934: it covers the true one with at least `level`. No trials: 0 to 1.
    """
    from scipy import stats

    tail = (1 - level) / 2
    low = 0.0
    high = 1.0
    if count > 0:
        low = float(stats.beta.ppf(tail, count, n - count + 1))
    if count < n:
        high = float(stats.beta.ppf(1 - tail, count + 1, n - count))
    return low, high


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Return p-values corrected for their number, which errs in one of them with at most a level.

    Holm 1979: the smallest of m is multiplied by m, the next by m - 1, and none falls below the one
    before. A question without an answer yet (None) counts among the m, so that answers which come
    later change nothing.
    """
    m = len(values)
    corrected: list[float | None] = [None] * m
    largest = 0.0
    answered = [(p, at) for at, p in enumerate(values) if p is not None]
    for rank, (p, at) in enumerate(sorted(answered)):
        largest = max(largest, min(1.0, (m - rank) * p))
        corrected[at] = largest
    return corrected


def on_one_scale(*values: Values) -> tuple[Values, ...]:
    """Return the logarithms, if all values are positive; otherwise the values themselves."""
    if is_positive(*values):
        return tuple(np.log(each) for each in values)
    return values


def _leaves(row: Values, low: Values, high: Values) -> int | None:
    """Return from which generation a seed, float [generations], stays outside the band."""
    length = min(len(row), len(low))
    outside = (row[:length] < low[:length]) | (row[:length] > high[:length])
    if not length or not outside[-1]:
        return None

    inside = np.flatnonzero(~outside)
    return int(inside[-1]) + 1 if len(inside) else 0
