"""The splits of a pool whose distances are not kept, against each split compared by itself."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from imglab import seeds
from imglab.metrics import large_pool, points, split_expansion, split_gaussians
from imglab.metrics.comparison import BETWEEN_SPLITS, compare_split
from imglab.metrics.kernel import kernel_distance
from imglab.metrics.neighbour_lists import length_of_lists
from imglab.metrics.split_parts import SplitParts
from imglab.metrics.splits import split_scores, steps_before
from imglab.metrics.standard import standardised
from tests.metrics.references import normal

KS: dict[str, Any] = {"precision_recall_k": 3, "density_coverage_k": 5}


def orders_of(size: int, count: int) -> list[torch.Tensor]:
    return [torch.randperm(size, generator=seeds.generator("order", i)) for i in range(count)]


def scores_of(pool, n, m, count=3, whole=1000):
    """Return the orders of some splits, and their scores by the way of large pools."""
    orders = orders_of(len(pool), count)
    scores = split_scores(pool, n_real=n, n_synthetic=m, orders=orders, **KS, most=10, whole=whole)
    return orders, [each for each in scores if each is not None]


def assert_as_alone(pool, n, m, count=3):
    orders, scores = scores_of(pool, n, m, count)
    assert len(scores) == count

    # A kernel distance is a small difference between means of the kernel.
    values = pool.double()
    kernel = float((values @ values.T / pool.shape[1] + 1).pow(3).abs().mean())
    for order, of_split in zip(orders, scores, strict=True):
        real, synthetic = pool[order[:n]], pool[order[n : n + m]]
        expected = compare_split(real=real, synthetic=synthetic, **KS).values
        alone = [standardised(part, by=pool) for part in (real, synthetic)]
        expected["kid_standard"] = kernel_distance(real=alone[0], synthetic=alone[1])[0]
        assert list(of_split) == list(BETWEEN_SPLITS)
        for name in BETWEEN_SPLITS:
            absolute = 1e-7 * kernel if name.startswith("kid") else 1e-12
            value = pytest.approx(expected[name], rel=1e-6, abs=absolute)
            assert of_split[name] == value, name


@pytest.fixture(params=["float32", "float64"])
def precision(request, monkeypatch):
    if request.param == "float32":
        monkeypatch.setattr(points, "SMALL", 0)


class TestSplits:
    @pytest.mark.usefixtures("precision")
    @pytest.mark.parametrize(("n", "m", "left", "d"), [(90, 90, 0, 5), (60, 80, 70, 3)])
    def test_they_are_those_of_each_alone(self, n, m, left, d):
        assert_as_alone(normal(n + m + left, d, 1, shift=2.0).float(), n, m)

    def test_fewer_samples_than_features(self):
        assert_as_alone(normal(80, 60, 1).float(), 30, 50)

    @pytest.mark.usefixtures("precision")
    def test_equal_samples_and_equal_distances(self):
        pool = normal(160, 3, 1).float().round() / 2 + 1
        pool[:40] = pool[0]
        assert_as_alone(pool, 70, 80)

    @pytest.mark.usefixtures("precision")
    def test_lists_that_end_too_early(self, monkeypatch):
        monkeypatch.setattr(large_pool, "length_of_lists", lambda *_: 1)
        monkeypatch.setattr("imglab.metrics.neighbour_lists.SPARE", 2)
        monkeypatch.setattr("imglab.metrics.neighbour_lists.WHOLE", 7)
        assert_as_alone(normal(150, 4, 1).float(), 60, 80)

    def test_lists_hold_all_neighbours_but_once(self):
        length = length_of_lists(5, 0.5, 4_000_000)
        below = [sum(math.comb(n, k) for k in range(5)) / 2**n for n in (length - 1, length)]
        assert below[1] <= 1 / 4_000_000 < below[0]

    def test_far_outliers_and_a_narrow_crowd(self):
        pool = normal(150, 4, 1).float() + 100
        pool[:3] *= 1000
        pool[3:40] = 100 + pool[3:40] / 1e4
        assert_as_alone(pool, 60, 80)

    def test_a_sample_of_zeros_leaves_vendi_undefined(self):
        pool = normal(100, 4, 1).float()
        pool[0] = 0
        orders, scores = scores_of(pool, 40, 40, count=8)
        undefined = [0 in order[40:80].tolist() for order in orders]
        assert {True, False} == set(undefined)
        assert [each["vendi"] is None for each in scores] == undefined

    def test_it_says_how_often_it_yields_nothing_first(self):
        pool = normal(100, 4, 1).float()
        scores = list(
            split_scores(pool, n_real=40, n_synthetic=50, orders=orders_of(100, 2), **KS, most=10)
        )
        before = steps_before(100, 40, 50, KS, 10)
        assert [each is None for each in scores] == [True] * before + [False] * 2

    def test_parts_too_small_for_lists_are_compared_alone(self):
        assert steps_before(100, 9, 50, KS, 10) == 0
        assert steps_before(60_000, 100, 10_000, KS) == 0
        assert steps_before(6000, 3000, 3000, KS) == 0
        assert steps_before(20_000, 10_000, 10_000, KS) > 0


class TestEstimates:
    @pytest.fixture
    def pool(self, monkeypatch):
        """Features of few strong directions and many weak ones, as networks give them."""
        monkeypatch.setattr(split_gaussians, "NARROW", 8)
        scales = torch.linspace(0, -1.5, 40, dtype=torch.float64)
        return (normal(600, 40, 1) * 10**scales + 0.3).float()

    def spread_of(self, scores, name):
        values = torch.tensor([each[name] for each in scores], dtype=torch.float64)
        return float(values.mean()), float(values.std())

    def test_they_are_nearly_what_they_stand_for(self, pool):
        _, scores = scores_of(pool, 300, 300, count=60, whole=10)
        _, wholes = scores_of(pool, 300, 300, count=60)
        assert [each["fid"] for each in scores[:10]] == [each["fid"] for each in wholes[:10]]
        for name in ("fid", "fid_mean", "fid_variance", "fid_rest", "vendi"):
            mean, deviation = self.spread_of(scores, name)
            expected, expected_deviation = self.spread_of(wholes, name)
            assert abs(mean - expected) < 0.05 * expected_deviation, name
            assert deviation == pytest.approx(expected_deviation, rel=0.05), name
            for one, whole in zip(scores, wholes, strict=True):
                assert abs(one[name] - whole[name]) < 0.4 * expected_deviation, name

    def test_equal_samples_have_no_expansion(self):
        _, scores = scores_of(torch.ones(400, 300), 120, 120, count=12, whole=10)
        _, wholes = scores_of(torch.ones(400, 300), 120, 120, count=12)
        assert scores == wholes

    def test_each_split_is_computed_where_they_are_not_near(self, pool, monkeypatch):
        monkeypatch.setattr(split_expansion, "TRUSTED", 1e-9)
        _, scores = scores_of(pool, 300, 300, count=14, whole=10)
        _, wholes = scores_of(pool, 300, 300, count=14)
        assert scores == wholes

    def test_second_order_is_half_the_squared_difference_over_the_sum(self, pool):
        """A part of the sum over pairs of directions, 1 / (a + b), is left out by few terms."""
        orders = orders_of(600, 2)
        parts = SplitParts.of(orders, 600, 250, 300)
        pool = pool.double()
        centred = pool - pool.mean(0)
        products = centred.T @ centred
        excess = split_expansion.SplitExcess(pool, parts, pool.mean(0), products)
        list(excess.passes())

        values, vectors = torch.linalg.eigh(products / 599)
        moved = centred @ vectors
        for order, value in zip(orders, excess.values.tolist(), strict=True):
            real, synthetic = moved[order[:250]], moved[order[250:550]]
            apart = real.T @ real / 250 - synthetic.T @ synthetic / 300
            expected = float((apart**2 / (values[:, None] + values)).sum() / 2)
            assert value == pytest.approx(expected, rel=0.01)
