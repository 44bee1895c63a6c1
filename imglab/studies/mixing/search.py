"""The search for the smallest real share that holds: one bisection for each seed. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import mean, stdev

LEVEL = 0.95
"""Level of the interval over seeds."""

FEWEST_SEEDS = 3
"""Of two, those that agree by chance would give the answers: with four halvings, intervals that are
narrower than .5 hold the threshold in 19 to 56% of simulations (docs/mixtures.md)."""


@dataclass(frozen=True)
class Search:
    """What was tried with one seed: for each real share, whether the chain held.

    It assumes that a chain holds at every share above one at which it holds.

    halvings  how often the interval [0, 1] is halved, so that its last part is 2^-halvings wide
    held      share -> True, False, or None where it cannot be decided
    """

    halvings: int
    held: Mapping[float, bool | None] = field(default_factory=dict)

    def next_share(self) -> float | None:
        """Return the share to try next; None if the search is at its end.

        Real data alone come first, since nothing can be said where they do not hold; then none.
        """
        for share in (1.0, 0.0):
            if share not in self.held:
                return share
            if self.held[share] is None or self.held[share] is (share == 0.0):
                return None

        low, high = self._bracket()
        middle = (low + high) / 2
        if high - low <= 2.0**-self.halvings or middle in self.held:
            return None
        return middle

    def bracket(self) -> tuple[float, float] | None:
        """Return a share that does not hold and one that does, or None where nothing is decided.

        Both are 0 where the chain holds without real data.
        """
        if self.held.get(1.0) is not True or self.held.get(0.0) is None:
            return None
        if self.held[0.0]:
            return 0.0, 0.0
        return self._bracket()

    def _bracket(self) -> tuple[float, float]:
        low = 0.0
        high = 1.0
        while (low + high) / 2 in self.held and high - low > 2.0**-self.halvings:
            middle = (low + high) / 2
            if self.held[middle] is None:
                break
            if self.held[middle]:
                high = middle
            else:
                low = middle
        return low, high


@dataclass(frozen=True)
class Threshold:
    """The smallest real share that holds, over seeds, in [0, 1].

    estimate   the mean over seeds of the smallest share that was tried and held
    low, high  its interval: Student's over seeds, from the lower and from the upper ends of the
               brackets, so that it covers the width of the brackets as well
    seeds      how many seeds it comes from
    """

    estimate: float
    low: float
    high: float
    seeds: int


def threshold(brackets: Iterable[tuple[float, float]]) -> Threshold | None:
    """Return the threshold over the brackets of at least three seeds; None for fewer.

    >>> threshold([(0.25, 0.5), (0.25, 0.5), (0.25, 0.5)])
    Threshold(estimate=0.5, low=0.25, high=0.5, seeds=3)
    """
    from scipy import stats

    each = list(brackets)
    n = len(each)
    if n < FEWEST_SEEDS:
        return None

    middles = [(low + high) / 2 for low, high in each]
    half = float(stats.t.ppf(0.5 + LEVEL / 2, n - 1)) * stdev(middles) / math.sqrt(n)
    low = max(0.0, mean(low for low, _ in each) - half)
    high = min(1.0, mean(high for _, high in each) + half)
    return Threshold(mean(upper for _, upper in each), low, high, n)
