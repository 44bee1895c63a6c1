"""Standard errors against redrawing both sets, and the scores of many splits of one pool."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from imglab import seeds
from imglab.metrics import Moments, Undefined, frechet_standard_error, pairwise, splits
from imglab.metrics.comparison import BETWEEN_SPLITS, DISTRIBUTION, Reference, compare, spread
from imglab.metrics.errors import neighbour_errors
from imglab.metrics.influence import frechet_errors
from imglab.metrics.pairwise import SCALARS, Distances
from imglab.metrics.splits import split_scores
from tests.metrics.intervals import redraw, redraw_shares
from tests.metrics.references import normal

KS: dict[str, Any] = {"precision_recall_k": 3, "density_coverage_k": 5}


class TestErrors:
    def test_they_are_the_spread_of_redrawn_sets(self, monkeypatch):
        monkeypatch.setattr("imglab.metrics.errors.PARTITIONS", 16)
        redrawn = redraw(24, n=120, m=160, d=4, scale=0.9, shift=0.3)
        assert len(redrawn.ratio) == 4 + 2 + 8 + 1
        assert 0.8 < np.median(list(redrawn.ratio.values())) < 1.3

    @pytest.mark.slow
    @pytest.mark.parametrize(("scale", "shift"), [(1, 0), (0.9, 0.3)])
    def test_intervals_of_them_cover(self, scale, shift):
        """At the null, and where there is a difference; coverages are those of all metrics."""
        redrawn = redraw(300, n=200, m=300, d=8, scale=scale, shift=shift)
        ratios = list(redrawn.ratio.values())
        coverages = list(redrawn.inside.values())
        assert 0.9 < np.median(ratios) < 1.2
        assert min(ratios) > 0.8
        assert 0.92 < np.mean(coverages) < 0.98
        assert min(coverages) > 0.92, redrawn

    @pytest.mark.slow
    def test_intervals_of_shares_cover_where_both_sets_are_alike(self):
        """There `coverage` is .99: two real samples of 200 are missed, and five are likely, too."""
        inside = redraw_shares(300, n=200, m=300, d=8)
        assert len(inside) == 7
        assert all(0.92 < each < 0.98 for each in inside.values()), inside

    @pytest.mark.parametrize("width", [4, 40])
    def test_of_large_sets_in_float32_they_are_those_of_float64(self, width, monkeypatch):
        """Also the sets of the null cut, of which the second's products are what is left."""
        real, synthetic = normal(300, width, 1), normal(260, width, 2, scale=0.9, shift=0.1)
        expected = frechet_errors(real=real, synthetic=synthetic)
        monkeypatch.setattr("imglab.metrics.influence.LARGE", 0)
        errors = frechet_errors(real=real, synthetic=synthetic)
        assert errors == pytest.approx(expected, rel=1e-6)

    def test_the_synthetic_side_is_the_delta_method(self):
        """Against a reference of very many samples only the synthetic draw is left."""
        real, synthetic = normal(20_000, 4, 1), normal(300, 4, 2, scale=1.5, shift=0.5)
        expected = frechet_standard_error(real=Moments.of(real), synthetic=synthetic)
        assert frechet_errors(real=real, synthetic=synthetic)["fid"] == pytest.approx(
            expected, rel=0.04
        )

    def test_fewer_samples_than_features(self):
        errors = frechet_errors(real=normal(30, 64, 1), synthetic=normal(20, 64, 2))
        assert all(np.isfinite(value) and value > 0 for value in errors.values())

    def test_large_sets_are_thinned(self, monkeypatch):
        real, synthetic = normal(300, 4, 1), normal(400, 4, 2, scale=0.9)
        whole = neighbour_errors(real=real, synthetic=synthetic, **KS)
        monkeypatch.setattr("imglab.metrics.errors.MOST", 350)
        thinned = neighbour_errors(real=real, synthetic=synthetic, **KS)
        ratios = [(thinned[name] or 0) / (whole[name] or 1) for name in SCALARS]
        assert np.median(ratios) == pytest.approx(1, abs=0.3)

    def test_too_few_samples_to_cut_in_two(self):
        with pytest.raises(Undefined, match="at least 20 real"):
            neighbour_errors(real=normal(19, 3, 1), synthetic=normal(50, 3, 2), **KS)


class TestDistances:
    @pytest.mark.parametrize("kind", ["normal", "lattice", "far"])
    @pytest.mark.parametrize("neighbours", [4, 40])
    def test_radii_of_subsets(self, kind, neighbours):
        features = normal(90, 3, 1)
        if kind == "lattice":
            features = (features * 1.5).round() / 3
        if kind == "far":
            features[:30] += 1e4
        members = torch.randperm(90, generator=seeds.generator("members"))[:40]

        radii = Distances.of(features, neighbours=neighbours).radii(members[None], (3, 5))[:, 0]
        differences = features[members][:, None] - features[members]
        expected = differences.norm(dim=2).sort(1).values[:, [3, 5]].T
        assert torch.allclose(radii.double(), expected, rtol=1e-5, atol=1e-4)


class TestSplits:
    def scores(self, pool, n, m, count=2):
        orders = [
            torch.randperm(len(pool), generator=seeds.generator(number)) for number in range(count)
        ]
        scores = split_scores(pool, n_real=n, n_synthetic=m, orders=iter(orders), **KS)
        return orders, list(scores)

    @pytest.mark.parametrize(
        ("n", "m", "d"), [(60, 90, 5), (40, 120, 70), (120, 30, 70), (25, 20, 3)]
    )
    @pytest.mark.parametrize("kind", ["normal", "lattice"])
    def test_they_are_those_of_compare(self, n, m, d, kind):
        pool = normal(n + m + 7, d, 1).float()
        if kind == "lattice":
            pool = pool.round() / 2 + 1
        orders, scores = self.scores(pool, n, m)
        for order, of_split in zip(orders, scores, strict=True):
            expected = compare(
                real=Reference(pool[order[:n]]), synthetic=pool[order[n : n + m]], **KS
            ).values
            assert set(of_split) == set(expected) - {"two_sample_auc"} == set(BETWEEN_SPLITS)
            for name in BETWEEN_SPLITS:
                # Of equal radii on a lattice either may come first.
                if kind == "normal" or "decile" not in name:
                    value = pytest.approx(expected[name], rel=1e-5, abs=2e-5)
                    assert of_split[name] == value, name

    def test_too_few_samples_for_tenths(self):
        _, scores = self.scores(normal(40, 3, 1), 9, 20)
        assert scores[0]["precision"] is None
        assert scores[0]["fid"] is not None

    def test_more_splits_than_a_batch(self, monkeypatch):
        pool = normal(60, 4, 1).float()
        _, at_once = self.scores(pool, 30, 30, count=5)
        monkeypatch.setattr(splits, "BATCH", 2)
        _, in_batches = self.scores(pool, 30, 30, count=5)
        assert [each["kid"] for each in in_batches] == pytest.approx(
            [each["kid"] for each in at_once]
        )

    def test_the_pool_must_be_large_enough(self):
        with pytest.raises(ValueError, match="30 \\+ 40 samples of a pool of 60"):
            self.scores(normal(60, 4, 1), 30, 40)


class TestComparison:
    def test_recall_is_withheld_in_collapse(self):
        real, synthetic = normal(100, 4, 1), 20 + 0.01 * normal(100, 4, 2)
        synthetic[0] = -1000
        scores = compare(real=Reference(real), synthetic=synthetic, **KS, errors=True)
        for name in ("recall", "recall_se", "recall_by_decile"):
            assert scores.values[name] is None
            assert "recall measures outliers" in scores.reasons[name]
        assert scores.values["recall_bounded"] == 0

    def test_errors_only_when_asked_for(self):
        real, synthetic = normal(60, 3, 1), normal(60, 3, 2)
        scores = compare(real=Reference(real), synthetic=synthetic, **KS)
        assert set(scores.values) == set(DISTRIBUTION)
        with_errors = compare(real=Reference(real), synthetic=synthetic, **KS, errors=True)
        assert scores.values.items() <= with_errors.values.items()
        low, high = with_errors.values["kid_interval"]
        assert low < scores.values["kid"] < high

    def test_too_few_samples_leave_reasons(self):
        scores = compare(
            real=Reference(normal(60, 3, 1)), synthetic=normal(3, 3, 2), **KS, errors=True
        )
        assert scores.values["fid"] is not None
        assert "synthetic samples, has 3" in scores.reasons["kid_interval"]
        for name in ("precision", "recall_bounded", "two_sample_auc", "coverage_by_decile"):
            assert scores.values[name] is None
            assert "synthetic samples, has 3" in scores.reasons[name]

    def test_spread_of_numbers_and_of_lists(self):
        assert spread([1.0, 2.0, None, 3.0]) == pytest.approx(
            {"mean": 2, "sd": 1, "low": 1.05, "high": 2.95}
        )
        lists = spread([[1.0, 10.0], None, [3.0, 10.0]])
        assert lists is not None
        assert lists["mean"] == [2, 10]
        assert lists["low"] == pytest.approx([1.05, 10])
        assert spread([1.0, None]) is None


def test_the_pool_is_kept_within_memory():
    assert 4 * pairwise.MOST**2 < 2**28
