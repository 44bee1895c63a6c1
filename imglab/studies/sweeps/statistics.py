"""What several seeds can tell: bands, paired contrasts, and when a metric first leaves the control's band. No torch.

Values are arrays float [seeds, generations] of one metric in one arm; NaN where it is undefined. Metrics that are
positive throughout are treated on the log scale, since their spread grows with them; others as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Values = NDArray[np.float64]
FEWEST = 5
"""Seeds below which no verdict is given."""
LEVEL = 0.95


@dataclass(frozen=True)
class Band:
    """Mean and 95% confidence band of the mean, float [generations] each; NaN where undefined."""

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
    known = [float(np.nanmin(each)) for each in values if np.isfinite(each).any()]
    return bool(known) and min(known) > 0


def pooled_spread(values: Values) -> tuple[float, int]:
    """Return the standard deviation between seeds, pooled over generations, and its degrees of freedom.

    Each generation's variance about its own mean, averaged with its n - 1 as weight (the pooled variance of an analysis
    of variance). Generations of a seed hang together, so the degrees of freedom are those of one generation, n - 1, not
    their sum: pooling steadies the estimate and claims nothing for it.
    """
    counts = np.isfinite(values).sum(0)
    usable = counts > 1
    if not usable.any():
        return math.nan, 0
    variances = np.nanvar(values[:, usable], axis=0, ddof=1)
    weights = counts[usable] - 1
    return float(np.sqrt((variances * weights).sum() / weights.sum())), int(weights.max())


def band(values: Values, level: float = LEVEL) -> Band:
    """Return the mean over seeds and its t-interval in each generation (geometric where values are positive).

    Each generation by the spread of its own seeds: a collapse changes that spread by orders of magnitude, and pooled
    over generations the spread at the end would pass for that of the beginning.
    """
    log = is_positive(values)
    scaled = np.log(values) if log else values
    found = [mean_interval(column[np.isfinite(column)], level) for column in scaled.T]
    columns = np.array(
        [(each.estimate, each.low, each.high) for each in found], dtype=np.float64
    ).reshape(-1, 3)
    mean, low, high = np.where(np.isfinite(columns), columns, np.nan).T
    return Band(*(np.exp(each) if log else each for each in (mean, low, high)))


def paired(one: Values, two: Values, level: float = LEVEL) -> Interval:
    """Compare pairs, float [seeds] each: the mean difference one - two, by a paired t-test.

    Pairs with an undefined value are left out. With fewer than two pairs the interval is unbounded.
    """
    differences = (one - two)[np.isfinite(one) & np.isfinite(two)]
    return mean_interval(differences, level)


def mean_interval(values: Values, level: float = LEVEL) -> Interval:
    """Return the mean of values, float [n], with its t-interval and the p-value against zero."""
    n = len(values)
    if n == 0:
        return Interval(math.nan, -math.inf, math.inf, math.nan, 0)
    mean = float(values.mean())
    if n == 1:
        return Interval(mean, -math.inf, math.inf, math.nan, 1)
    error = float(values.std(ddof=1)) / math.sqrt(n)
    if error == 0:
        return Interval(mean, mean, mean, 0.0 if mean else 1.0, n)
    half = float(stats.t.ppf(0.5 + level / 2, n - 1)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, n - 1))
    return Interval(mean, mean - half, mean + half, p, n)


def control_band(control: Values, level: float = LEVEL) -> tuple[Values, Values]:
    """Return the band in which one more seed of the control lies with this probability, float [generations] each.

    A prediction interval: mean +- t s sqrt(1 + 1/n), s pooled over generations.
    """
    spread, freedom = pooled_spread(control)
    counts = np.isfinite(control).sum(0)
    mean = np.where(counts > 0, np.nansum(control, 0) / np.maximum(counts, 1), np.nan)
    if freedom == 0:
        return np.full_like(mean, -np.inf), np.full_like(mean, np.inf)
    half = stats.t.ppf(0.5 + level / 2, freedom) * spread * np.sqrt(1 + 1 / np.maximum(counts, 1))
    return mean - half, mean + half


def first_leaves(values: Values, control: Values, level: float = LEVEL) -> list[int | None]:
    """Return, for each seed, the first generation from which a metric stays outside the control's band; None: never."""
    values, control = _on_one_scale(values, control)
    return [_leaves(row, *control_band(control, level)) for row in values]


def false_alarm_rate(control: Values, level: float = LEVEL) -> float | None:
    """Return the share of the control's own seeds that leave the band of the others; None with fewer than three."""
    if len(control) < 3:
        return None
    (scaled,) = _on_one_scale(control)
    others = [np.delete(scaled, at, axis=0) for at in range(len(scaled))]
    alarms = [
        _leaves(row, *control_band(rest, level)) is not None
        for row, rest in zip(scaled, others, strict=True)
    ]
    return sum(alarms) / len(alarms)


def _on_one_scale(*values: Values) -> tuple[Values, ...]:
    return tuple(np.log(each) for each in values) if is_positive(*values) else values


def _leaves(row: Values, low: Values, high: Values) -> int | None:
    length = min(len(row), len(low))
    outside = (row[:length] < low[:length]) | (row[:length] > high[:length])
    if not length or not outside[-1]:
        return None
    inside = np.flatnonzero(~outside)
    return int(inside[-1]) + 1 if len(inside) else 0
