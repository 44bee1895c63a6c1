"""When two numbers of a page differ by more than chance, and by more than their choice."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from imglab.report.apart import Point, are_apart
from imglab.studies.sweeps.statistics import band


def of_seeds(values) -> Point:
    """Return the point of a sweep's band, as a page reads it."""
    its = band(values[:, None])
    mean, low, high = (float(each[0]) for each in (its.mean, its.low, its.high))
    return Point(mean, (mean - low) / 2, (high - mean) / 2, len(values) - 1)


def share_apart(trials: int, arms: int, draw) -> float:
    """Return how often the best and the worst of arms that are alike count as different."""
    apart = 0
    for _ in range(trials):
        points = sorted((draw() for _ in range(arms)), key=lambda point: point.value)
        apart += are_apart(points[0], points[-1], comb(arms, 2))
    return apart / trials


@pytest.mark.parametrize("arms", [2, 4, 8])
def test_the_best_and_the_worst_of_arms_that_are_alike_are_seldom_apart(arms):
    random = np.random.default_rng(arms)
    assert share_apart(1000, arms, lambda: Point(random.standard_normal(), 1, 1)) < 0.06


def test_neither_are_those_of_five_seeds_whose_bands_reach_further_up_than_down():
    random = np.random.default_rng(0)
    seeds = 5
    assert share_apart(300, 4, lambda: of_seeds(np.exp(random.standard_normal(seeds)))) < 0.06


def test_the_side_on_which_the_other_number_lies_counts():
    wide_above = Point(5.0, below=1.9, above=8.0)
    assert are_apart(Point(1.0, 0.05, 0.05), wide_above)
    assert not are_apart(wide_above, Point(12.0, 1.0, 1.0))
