"""Recall that outliers cannot fool, and recall by density: definitions, a collapse, the null."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from imglab.metrics import (
    Undefined,
    bounded_precision_recall,
    by_decile,
    prdc,
    probabilistic_precision_recall,
    why_recall_is_withheld,
)
from tests.metrics.references import normal


def distances(a, b):
    return np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))


def collapsed_with_an_outlier(size, d):
    """All samples at one place beside the data, and one far away."""
    samples = 30 + 0.01 * normal(size, d, 7)
    samples[0] = -300
    return samples


class TestBounded:
    @pytest.mark.parametrize(("n", "m", "d"), [(120, 90, 3), (80, 200, 12)])
    def test_agrees_with_the_definition(self, n, m, d):
        real, synthetic = normal(n, d, 1).numpy(), normal(m, d, 2, scale=1.4).numpy()
        radii = np.sort(distances(real, real), 1)[:, 3]
        limit = np.sort(radii)[round(0.9 * n) - 1]
        other = np.sort(distances(synthetic, synthetic), 1)[:, 3].clip(max=limit)
        cross = distances(real, synthetic)

        scores = bounded_precision_recall(
            real=torch.tensor(real), synthetic=torch.tensor(synthetic)
        )
        assert scores.precision == pytest.approx(
            (cross <= radii.clip(max=limit)[:, None]).any(0).mean()
        )
        assert scores.recall == pytest.approx((cross <= other).any(1).mean())

    def test_one_outlier_fools_the_published_recall_alone(self):
        real, synthetic = normal(300, 8, 1), collapsed_with_an_outlier(300, 8)
        published = prdc(real=real, synthetic=synthetic)
        assert published.recall == 1
        assert bounded_precision_recall(real=real, synthetic=synthetic).recall < 0.02
        assert why_recall_is_withheld(precision=published.precision, coverage=published.coverage)

    def test_samples_that_are_too_wide_fool_it_too(self):
        real, synthetic = normal(300, 8, 1), normal(300, 8, 2, scale=3)
        assert prdc(real=real, synthetic=synthetic).recall > 0.95
        assert bounded_precision_recall(real=real, synthetic=synthetic).recall < 0.15

    def test_equal_distributions_score_nearly_as_published(self):
        real, synthetic = normal(400, 8, 1), normal(400, 8, 2)
        published = prdc(real=real, synthetic=synthetic)
        bounded = bounded_precision_recall(real=real, synthetic=synthetic)
        assert published.recall - 0.06 < bounded.recall <= published.recall
        assert published.precision - 0.06 < bounded.precision <= published.precision

    def test_a_set_against_itself_is_whole(self):
        lattice = torch.randint(3, (100, 3), generator=torch.Generator().manual_seed(0)).float()
        assert bounded_precision_recall(real=lattice, synthetic=lattice) == (1, 1)


def test_recall_is_withheld_only_near_zero():
    assert why_recall_is_withheld(precision=0.5, coverage=0.5) is None
    assert "precision is 0.020" in (why_recall_is_withheld(precision=0.02, coverage=0.5) or "")
    assert "coverage is 0.000" in (why_recall_is_withheld(precision=0.9, coverage=0.0) or "")


class TestProbabilistic:
    @pytest.mark.parametrize(("n", "m", "d"), [(120, 90, 3), (1100, 200, 12)])
    def test_agrees_with_the_definition(self, n, m, d):
        real, synthetic = normal(n, d, 1).numpy(), normal(m, d, 2, scale=1.4).numpy()
        cross = distances(real, synthetic)
        radius = 1.2 * np.sort(distances(real, real), 1)[:, 4].mean()
        other = 1.2 * np.sort(distances(synthetic, synthetic), 1)[:, 4].mean()
        precision = 1 - np.minimum(cross / radius, 1).prod(0).mean()
        recall = 1 - np.minimum(cross / other, 1).prod(1).mean()

        scores = probabilistic_precision_recall(
            real=torch.tensor(real), synthetic=torch.tensor(synthetic)
        )
        assert scores == pytest.approx((precision, recall), rel=1e-9)

    def test_an_outlier_weighs_little_until_it_is_far_enough(self):
        real, synthetic = normal(300, 8, 1), collapsed_with_an_outlier(300, 8)
        assert probabilistic_precision_recall(real=real, synthetic=synthetic).recall < 0.02
        synthetic[0] = -30_000
        assert probabilistic_precision_recall(real=real, synthetic=synthetic).recall > 0.9

    def test_equal_distributions_score_alike(self):
        scores = [
            probabilistic_precision_recall(real=normal(200, 4, s), synthetic=normal(200, 4, 99 + s))
            for s in range(20)
        ]
        precision, recall = np.mean(scores, 0)
        assert precision == pytest.approx(recall, abs=0.02)
        assert 0.5 < precision < 0.9

    def test_collapsed_sets_support_only_themselves(self):
        point, real = torch.ones(20, 3), normal(50, 3, 1)
        assert probabilistic_precision_recall(real=point, synthetic=point) == (1, 1)
        assert probabilistic_precision_recall(real=real, synthetic=point).recall == 0


class TestDeciles:
    def test_equal_distributions_cover_the_tenths_nearly_alike(self):
        """The null: m samples miss a ball of k real neighbours with this probability, whatever the
        density. Only the last tenth, of balls that are small by chance, is covered less.
        """
        n, m, k = 200, 300, 5
        missed = np.prod([(n - 1 - i) / (n - 1 + m - i) for i in range(k)])
        tails = [by_decile(real=normal(n, 3, s), synthetic=normal(m, 3, 99 + s)) for s in range(30)]
        coverage = np.mean([each.coverage for each in tails], 0)

        assert coverage.mean() == pytest.approx(1 - missed, abs=0.004)
        assert coverage[:9] == pytest.approx(np.full(9, 1 - missed), abs=0.02)
        assert 0.92 < coverage[9] < 0.98

    def test_a_lost_tail_is_lost_in_the_first_tenths(self):
        real = normal(500, 3, 1)
        synthetic = normal(2000, 3, 2)
        bulk = synthetic[synthetic.norm(dim=1) < 1.8][:500]
        tails = by_decile(real=real, synthetic=bulk)
        assert tails.recall[0] < 0.2
        assert tails.coverage[0] < 0.4
        assert min(tails.recall[5:]) > 0.85
        assert min(tails.coverage[5:]) > 0.85

    @pytest.mark.parametrize("n", [100, 103])
    def test_the_tenths_add_up(self, n):
        real, synthetic = normal(n, 3, 1), normal(80, 3, 2, scale=0.7)
        sizes = [len(part) for part in torch.arange(n).tensor_split(10)]
        tails = by_decile(real=real, synthetic=synthetic)
        assert np.average(tails.recall, weights=sizes) == pytest.approx(
            prdc(real=real, synthetic=synthetic).recall
        )

    def test_fewer_than_ten_samples_have_no_tenths(self):
        with pytest.raises(Undefined, match="at least 10 real"):
            by_decile(real=normal(8, 3, 1), synthetic=normal(50, 3, 2))
