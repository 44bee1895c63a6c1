"""How the tail dies if each generation is a draw from the last one's frequencies.

This is what chance alone would lose. It is the rare-category limit of multinomial resampling: the
lines of single draws are independent branching processes with Poisson(1) offspring. There are `n`
draws per generation, and `t` counts generations of draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from imglab.solvable.theory.categories import EXACT, RARE, alive_exactly


def chance_alive(probability: float, n: int, t: int, seen: int | None = None) -> float:
    """Return the chance that a category of this real probability occurs in the t-th generation.

    t = 0 is the truth itself.

    seen  how many of that generation's n draws are looked at; default: all of them
    """
    if t == 0:
        return float(probability > 0)

    looked_at = n if seen is None else seen
    if t == 1:
        return 1 - math.exp(-looked_at * probability)

    # The chance that one copy in the generation before has a child among the draws looked at.
    alive = 1 - math.exp(-looked_at / n)
    for _ in range(t - 2):
        alive = 1 - math.exp(-alive)
    return 1 - math.exp(-n * probability * alive)


def expected_alive(
    probabilities: Sequence[float], n: int, t: int, seen: int | None = None
) -> float:
    """Return the expected share of categories that occur in the t-th generation."""
    return sum(chance_alive(p, n, t, seen) for p in probabilities) / len(probabilities)


def chances_alive(probabilities: Tensor, n: int, t: int) -> list[float | None]:
    """Return each category's chance to occur in the t-th generation; None where it is not known.

    It is exact for n up to 1000. Above that, it is the rare-category limit as long as that is
    within 1%, for t up to n / 20.

    probabilities  float [K]
    """
    if n <= EXACT and t:
        return list(alive_exactly(probabilities, n, t).tolist())
    return [chance_alive(p, n, t) if t <= n / RARE else None for p in probabilities.tolist()]
