"""How the tail dies when each generation is a draw of the last one's frequencies: what chance alone would lose.

The rare-category limit of multinomial resampling: the lines of single draws are independent branching processes with
Poisson(1) offspring. `n` draws per generation; `t` counts draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from imglab.solvable.theory.categories import EXACT, RARE, alive_exactly


def chance_alive(probability: float, n: int, t: int, seen: int | None = None) -> float:
    """Return the chance that a category of this real probability occurs in the t-th draw.

    seen  how many of that generation's n draws are looked at; default: all. t = 0 is the truth itself.
    """
    if t == 0:
        return float(probability > 0)
    first = n if seen is None else seen
    if t == 1:
        return 1 - math.exp(-first * probability)
    alive = 1 - math.exp(
        -first / n
    )  # of one copy in the generation before: that one of the draws seen is its child
    for _ in range(t - 2):
        alive = 1 - math.exp(-alive)
    return 1 - math.exp(-n * probability * alive)


def expected_alive(
    probabilities: Sequence[float], n: int, t: int, seen: int | None = None
) -> float:
    """Return the expected share of categories that occur in the t-th draw."""
    return sum(chance_alive(p, n, t, seen) for p in probabilities) / len(probabilities)


def chances_alive(probabilities: Tensor, n: int, t: int) -> list[float | None]:
    """Return the chance of each category, float [K], to occur in the t-th draw of n; None where it is not known.

    Exact up to n = 1000; above, the rare-category limit as long as it is within 1%, for t up to n / 20.
    """
    if n <= EXACT and t:
        return list(alive_exactly(probabilities, n, t).tolist())
    return [chance_alive(p, n, t) if t <= n / RARE else None for p in probabilities.tolist()]
