"""How the tail dies when each generation is a draw of the last one's frequencies.

This is what chance alone would lose, in the rare-category limit of multinomial resampling: lines
of single draws are independent branching processes with Poisson(1) offspring. `n` is the number of
draws per generation, and `t` counts draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from imglab.solvable.theory.categories import EXACT, RARE, alive_exactly


def chance_alive(probability: float, n: int, t: int, seen: int | None = None) -> float:
    """Return the chance that a category of this real probability occurs in the t-th draw.

    t     0 is the truth itself
    seen  how many of that generation's n draws are examined; default: all
    """
    if t == 0:
        return float(probability > 0)

    if seen is None:
        seen = n
    if t == 1:
        return 1 - math.exp(-seen * probability)

    # The chance that a copy in the generation before has a child among the draws seen, and then,
    # one generation further back each time, that a copy has such a descendant.
    alive = 1 - math.exp(-seen / n)
    for _ in range(t - 2):
        alive = 1 - math.exp(-alive)
    return 1 - math.exp(-n * probability * alive)


def expected_alive(
    probabilities: Sequence[float], n: int, t: int, seen: int | None = None
) -> float:
    """Return the expected share of categories that occur in the t-th draw."""
    return sum(chance_alive(p, n, t, seen) for p in probabilities) / len(probabilities)


def chances_alive(probabilities: Tensor, n: int, t: int) -> list[float | None]:
    """Return the chance of each category, float [K], to occur in the t-th draw of n.

    It is exact up to n = 1000. Above, it is the rare-category limit as long as that is within 1%,
    for t up to n / 20, and None for larger t.
    """
    if n <= EXACT and t:
        return list(alive_exactly(probabilities, n, t).tolist())
    if t > n / RARE:
        return [None] * len(probabilities)
    return [chance_alive(p, n, t) for p in probabilities.tolist()]
