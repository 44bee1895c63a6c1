"""Intervals of shares: Clopper and Pearson's for as many samples as the error stands for."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from imglab.metrics import share_interval


@pytest.mark.parametrize("hits", [1, 60, 119])
def test_of_independent_samples_it_is_clopper_and_pearsons(hits):
    share = hits / 120
    ends = share_interval(share, math.sqrt(share * (1 - share) / 120), n=120)
    exact = stats.binomtest(hits, 120).proportion_ci(0.95)
    assert ends == pytest.approx((exact.low, exact.high))


def test_without_an_error_it_is_that_of_all_samples():
    least = 0.025 ** (1 / 100)
    assert share_interval(1.0, 0.0, n=100) == pytest.approx((least, 1))
    assert share_interval(0.0, 0.0, n=100) == pytest.approx((0, 1 - least))


def test_dependent_samples_count_less():
    narrow = share_interval(0.98, 0.01, n=200)
    wide = share_interval(0.98, 0.02, n=200)
    assert wide[0] < narrow[0] < 0.98 < narrow[1] < wide[1] <= 1


def test_a_large_sample_has_the_symmetric_interval():
    ends = share_interval(0.7, 0.005, n=20_000)
    assert ends == pytest.approx((0.7 - 0.0098, 0.7 + 0.0098), abs=1e-3)


@pytest.mark.parametrize(
    ("share", "error", "n"),
    [(1.2, 0.1, 10), (math.nan, 0.1, 10), (0.5, math.nan, 10), (0.5, -0.1, 10), (0.5, 0.1, 0)],
)
def test_what_is_no_share_is_refused(share, error, n):
    with pytest.raises(ValueError, match="no share"):
        share_interval(share, error, n=n)
