"""How the tail dies when each generation is a draw of the last one's frequencies: what chance alone would lose.

The rare-category limit of multinomial resampling: the lines of single draws are independent branching processes with
Poisson(1) offspring. `n` draws per generation; `t` counts draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def chance_alive(probability: float, n: int, t: int, seen: int | None = None) -> float:
    """Return the chance that a category of this real probability occurs in the t-th draw.

    seen  how many of that generation's n draws are looked at; default: all. t = 0 is the truth itself.
    """
    if t == 0:
        return float(probability > 0)
    first = n if seen is None else seen
    if t == 1:
        return 1 - math.exp(-first * probability)
    alive = 1 - math.exp(-first / n)  # of one copy in the generation before: that one of the draws seen is its child
    for _ in range(t - 2):
        alive = 1 - math.exp(-alive)
    return 1 - math.exp(-n * probability * alive)


def expected_alive(probabilities: Sequence[float], n: int, t: int, seen: int | None = None) -> float:
    """Return the expected share of categories that occur in the t-th draw."""
    return sum(chance_alive(p, n, t, seen) for p in probabilities) / len(probabilities)


def expected_extinction(probability: float, n: int, most: int = 10_000) -> float:
    """Return the expected number of draws in which a category occurs: the sum of its chances, up to `most`."""
    total, alive = 1 - math.exp(-n * probability), 1 - math.exp(-1.0)
    for _ in range(2, most + 1):
        chance = 1 - math.exp(-n * probability * alive)
        total += chance
        if chance < 1e-9:
            break
        alive = 1 - math.exp(-alive)
    return total
