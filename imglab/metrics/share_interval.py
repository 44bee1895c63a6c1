"""Intervals of shares that lie near 0 or 1, where a value and its error say too little."""

from __future__ import annotations

import math

TAIL = 0.025
"""Chance that an interval of 95% leaves out at each end."""


def share_interval(
    share: float, error: float, *, n: int, tail: float = TAIL
) -> tuple[float, float]:
    """Return the 95% interval of a share such as precision, recall or coverage.

    share  in [0, 1]
    error  its standard error, at least 0
    n      samples of which it is the share: real ones for recall and coverage, else synthetic ones
    tail   chance that is left out at each end

    Near 1 a share counts rare misses. `coverage` of real data by as good data is .99 of 200
    samples: two misses, as often five, of which a symmetric interval, on whatever scale, says too
    little. Here the misses are as many as independent samples would have at the same error:
    n' = p (1 - p) / error^2 samples, and the interval is Clopper and Pearson's for n' share of n'
    (Korn and Graubard 1998, for proportions in surveys). p is the share, or half a hit or half a
    miss of n where it is 0 or 1, which would leave no n'. An error of 0 leaves n. Raises ValueError
    for numbers that are none, out of their range, or without samples.

    >>> [round(end, 3) for end in share_interval(0.975, 0.011, n=200)]
    [0.943, 0.992]
    >>> share_interval(1.0, 0.0, n=200)[1]
    1.0
    """
    if not (0 <= share <= 1 and 0 <= error < math.inf and n >= 1):
        raise ValueError(f"no share of {n} samples with an error: {share}, {error}")

    from scipy.special import betaincinv  # not needed before there is something to measure

    effective = _effective_samples(share, error, n=n)
    hits = effective * share
    misses = effective - hits
    low = 0.0
    high = 1.0
    if hits > 0:
        low = float(betaincinv(hits, misses + 1, tail))
    if misses > 0:
        high = float(betaincinv(hits + 1, misses, 1 - tail))
    return low, high


def _effective_samples(share: float, error: float, *, n: int) -> float:
    """Return n', of how many independent samples a share would have this error."""
    if error == 0:
        return float(n)
    half = 0.5 / n
    likely = min(max(share, half), 1 - half)
    return likely * (1 - likely) / error**2
