"""The area under a curve, the classifier two-sample test and memorisation: closed forms, nulls."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from imglab.metrics import (
    Undefined,
    agreement,
    kernel_distance_standardised,
    memorization_share,
    two_sample_auc,
)
from imglab.metrics.ranks import area_under_curve
from imglab.metrics.two_sample import null_of_auc
from tests.metrics.references import normal


class TestArea:
    def test_agrees_with_scikit_learn(self):
        higher, lower = normal(40, 1, 1).flatten().round(decimals=1), normal(70, 1, 2).flatten()
        lower = lower.round(decimals=1)
        area, _ = area_under_curve(higher=higher, lower=lower)
        truth = np.repeat([1, 0], [40, 70])
        assert area == pytest.approx(roc_auc_score(truth, torch.cat([higher, lower]).numpy()))

    def test_its_error_agrees_with_redrawing(self):
        draws = [
            area_under_curve(
                higher=normal(40, 1, s, shift=0.5).flatten(), lower=normal(60, 1, 999 + s).flatten()
            )
            for s in range(300)
        ]
        values, errors = np.array(draws).T
        assert errors.mean() / values.std() == pytest.approx(1, abs=0.15)


class TestTwoSample:
    def test_equal_distributions_are_told_apart_by_chance_alone(self):
        """The null: one half, within the interval in 95% of the draws."""
        draws = [
            two_sample_auc(real=normal(80, 3, s), synthetic=normal(120, 3, 5000 + s))
            for s in range(100)
        ]
        values, errors = np.array(draws).T
        assert values.mean() == pytest.approx(0.5, abs=4 * values.std() / 10)
        assert (abs(values - 0.5) < 1.96 * errors).mean() >= 0.92
        assert 0.8 < errors.mean() / values.std() < 1.3

    def test_sees_a_shift_and_a_change_of_variance(self):
        real = normal(300, 6, 1)
        assert two_sample_auc(real=real, synthetic=normal(300, 6, 2, shift=5))[0] == 1
        assert two_sample_auc(real=real, synthetic=normal(300, 6, 3, scale=0.6))[0] > 0.75

    def test_one_dimension_is_bounded_by_the_closed_form(self):
        """The best test of N(0, 1) against N(1, 1) has the area Phi(1 / sqrt 2) = .760."""
        area, error = two_sample_auc(real=normal(2000, 1, 1), synthetic=normal(2000, 1, 2, shift=1))
        assert area == pytest.approx(0.760, abs=3 * error)

    def test_is_the_same_every_time_and_not_moved_by_the_order(self):
        real, synthetic = normal(100, 3, 1), normal(90, 3, 2, shift=0.5)
        ordered = synthetic[synthetic[:, 0].argsort()]
        assert two_sample_auc(real=real, synthetic=synthetic) == two_sample_auc(
            real=real, synthetic=synthetic
        )
        area, error = two_sample_auc(real=real, synthetic=synthetic)
        assert two_sample_auc(real=real, synthetic=ordered)[0] == pytest.approx(area, abs=2 * error)

    def test_constant_features_and_few_samples(self):
        real, synthetic = normal(60, 3, 1), normal(60, 3, 2)
        real[:, 1] = 4
        synthetic[:, 1] = 4
        assert 0 <= two_sample_auc(real=real, synthetic=synthetic)[0] <= 1
        with pytest.raises(Undefined, match="at least 20 synthetic"):
            two_sample_auc(real=real, synthetic=synthetic[:19])


def test_inputs_in_float32_leave_the_area_where_it_is(monkeypatch):
    """Up to where the fit stops, which is far within the standard error."""
    real, synthetic = normal(400, 30, 1), normal(300, 30, 2, scale=0.9, shift=0.05)
    area, error = two_sample_auc(real=real, synthetic=synthetic)
    monkeypatch.setattr("imglab.metrics.two_sample.MANY", 0)
    assert two_sample_auc(real=real, synthetic=synthetic)[0] == pytest.approx(area, abs=error / 100)


class TestMemorization:
    def test_fresh_samples_score_one_half(self):
        """The null; sizes of the three sets differ and do not matter."""
        draws = [
            memorization_share(
                train=normal(100, 4, s),
                held_out=normal(60, 4, 999 + s),
                synthetic=normal(90, 4, 5000 + s),
            )
            for s in range(100)
        ]
        values, errors = np.array(draws).T
        assert values.mean() == pytest.approx(0.5, abs=0.02)
        assert 0.9 <= (abs(values - 0.5) < 1.96 * errors).mean() <= 0.99

    def test_copies_score_one_and_strangers_zero(self):
        train, held_out = normal(100, 4, 1), normal(60, 4, 2)
        copies = train[:50] + 1e-6
        assert memorization_share(train=train, held_out=held_out, synthetic=copies)[0] > 0.99
        strangers = normal(50, 4, 3, shift=30)
        assert memorization_share(train=train, held_out=held_out, synthetic=strangers)[0] == 0

    def test_half_of_the_samples_copied(self):
        train, held_out = normal(300, 4, 1), normal(300, 4, 2)
        synthetic = torch.cat([train[:150], normal(150, 4, 3)])
        share, error = memorization_share(train=train, held_out=held_out, synthetic=synthetic)
        assert share == pytest.approx(0.75, abs=3 * error)

    def test_models_that_agree(self):
        one = normal(200, 30, 1)
        close = agreement(one=one, other=one + 0.1 * normal(200, 30, 2))
        apart = agreement(one=one, other=normal(200, 30, 3))
        assert close.corresponding > 0.98
        assert abs(close.unrelated) < 0.1
        assert abs(apart.corresponding) < 0.1


class TestStandardisedKernel:
    def test_does_not_depend_on_units(self):
        real, synthetic = normal(80, 4, 1), normal(90, 4, 2, scale=0.8)
        units = torch.tensor([1.0, 1000.0, 0.01, 5.0]).double()
        value, error = kernel_distance_standardised(real=real, synthetic=synthetic)
        other = kernel_distance_standardised(real=real * units + 7, synthetic=synthetic * units + 7)
        assert other == pytest.approx((value, error), rel=1e-6)

    def test_is_zero_on_average_between_equal_distributions(self):
        values = [
            kernel_distance_standardised(real=normal(60, 3, s), synthetic=normal(50, 3, 999 + s))[0]
            for s in range(200)
        ]
        assert abs(np.mean(values)) < 4 * np.std(values) / 200**0.5

    def test_constant_dimensions(self):
        real, synthetic = normal(60, 3, 1), normal(50, 3, 2)
        real[:, 1] = 0.1
        assert np.isfinite(kernel_distance_standardised(real=real, synthetic=synthetic)[0])


def test_the_known_null_is_that_of_random_splits():
    pool = torch.randn(400, 4, generator=torch.Generator().manual_seed(3))
    areas = []
    for seed in range(40):
        order = torch.randperm(400, generator=torch.Generator().manual_seed(seed))
        areas.append(two_sample_auc(real=pool[order[:150]], synthetic=pool[order[150:]])[0])

    null = null_of_auc(150, 250)
    inside = sum(null["low"] <= area <= null["high"] for area in areas)
    assert inside >= 34, "95% of 40 is 38"
