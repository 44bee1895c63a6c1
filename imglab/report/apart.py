"""Whether two numbers differ by more than their errors, and than their choice among several."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from imglab.report.kind_of_loss import SURE

CHANCE = 0.05
"""Chance with which any of several comparisons may show a difference that is none."""


@dataclass(frozen=True)
class Point:
    """A number with its standard errors towards lower and towards higher numbers.

    freedom  degrees of freedom behind the errors: of few seeds; None: of many samples
    """

    value: float
    below: float = 0.0
    above: float = 0.0
    freedom: int | None = None


def are_apart(one: Point, other: Point, comparisons: int = 1) -> bool:
    """Say whether two independent numbers differ by more than two standard errors.

    Each error is that of the side on which the other number lies (Zou and Donner 2008): bands of
    positive metrics reach further up than down. Of several comparisons, of which the largest
    difference is reported, all share the chance that one alone has (Bonferroni).
    """
    lower, upper = sorted((one, other), key=lambda point: point.value)
    error = math.hypot(lower.above, upper.below)
    freedoms = [each.freedom for each in (one, other) if each.freedom is not None]
    wider = _wider(comparisons, min(freedoms, default=None))
    return upper.value - lower.value > SURE * wider * error


def _wider(comparisons: int, freedom: int | None) -> float:
    """Return by how much wider intervals are that hold for several comparisons at once."""
    if comparisons <= 1:
        return 1.0

    alone = 1 - CHANCE / 2
    together = 1 - CHANCE / 2 / comparisons
    if freedom is None:
        normal = NormalDist()
        return normal.inv_cdf(together) / normal.inv_cdf(alone)

    from scipy import special

    return float(special.stdtrit(freedom, together) / special.stdtrit(freedom, alone))
