"""The kernel distance against closed forms, limits and reference implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from torchmetrics.image.kid import poly_mmd

from imglab.metrics import kernel_distance
from imglab.metrics.kernel import kernel_distance_of_both, standard_distance_of_both
from imglab.metrics.rough_kernel import rough_kernel_distance
from imglab.metrics.standard import Standard, influence_of_standard
from tests.metrics.intervals import redraw_kernel
from tests.metrics.references import normal


class TestKernel:
    @pytest.mark.parametrize(("n", "m", "d"), [(50, 70, 8), (1500, 1100, 16)])
    def test_agrees_with_torchmetrics(self, n, m, d):
        real, synthetic = normal(n, d, 1), normal(m, d, 2, scale=1.1)
        value, error = kernel_distance(real=real, synthetic=synthetic)
        if n == m:
            expected = float(poly_mmd(real, synthetic))
        else:
            kernel = [
                (a @ b.T / d + 1) ** 3
                for a, b in ((real, real), (synthetic, synthetic), (real, synthetic))
            ]
            inner = [(k.sum() - k.trace()) / (len(k) * (len(k) - 1)) for k in kernel[:2]]
            expected = float(inner[0] + inner[1] - 2 * kernel[2].mean())
        assert value == pytest.approx(expected, rel=1e-9, abs=1e-9)
        assert error > 0

    def test_equal_sizes_agree_with_torchmetrics(self):
        real, synthetic = normal(200, 8, 1), normal(200, 8, 2, scale=1.1)
        value, _ = kernel_distance(real=real, synthetic=synthetic)
        assert value == pytest.approx(float(poly_mmd(real, synthetic)), rel=1e-9)

    def test_unbiased(self):
        """Between draws of one distribution the mean is 0 within its error."""
        values = [
            kernel_distance(real=normal(40, 3, s), synthetic=normal(30, 3, 1000 + s))[0]
            for s in range(300)
        ]
        mean, spread = np.mean(values), np.std(values)
        assert abs(mean) < 4 * spread / math.sqrt(300)

    @pytest.mark.parametrize("shift", [0, 30])
    def test_error_over_both_draws_is_their_spread_wherever_the_mean_is(self, shift):
        distances = [
            kernel_distance_of_both(
                real=normal(100, 8, s, shift=shift), synthetic=normal(100, 8, 1000 + s, shift=shift)
            )
            for s in range(150)
        ]
        spread = np.std([distance.value for distance in distances])
        errors = [distance.of_both for distance in distances]
        # The larger of two estimates is a little too large.
        assert np.mean(errors) / spread == pytest.approx(1.15, abs=0.2)

    def test_standard_error_matches_repeated_draws(self):
        real = normal(800, 3, 1)
        pairs = [
            kernel_distance(real=real, synthetic=normal(200, 3, 50 + s, scale=1.2))
            for s in range(200)
        ]
        values, errors = np.array(pairs).T
        assert errors.mean() / values.std() == pytest.approx(1, abs=0.2)


class TestIntervals:
    @pytest.mark.parametrize(("scale", "shift"), [(1, 0), (0.9, 0.2)])
    def test_they_cover(self, scale, shift):
        redrawn = redraw_kernel(150, n=60, m=90, d=4, scale=scale, shift=shift)
        assert all(0.92 < each < 0.98 for each in redrawn.inside.values()), redrawn

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("draws", "n", "m", "d", "shift"),
        [
            (800, 200, 200, 2, 0.3),
            (800, 200, 300, 8, 0.1),
            (300, 500, 300, 64, 0.06),
            (100, 2000, 2000, 16, 0.05),
        ],
    )
    @pytest.mark.parametrize("is_shifted", [False, True])
    def test_they_cover_at_many_sizes(self, draws, n, m, d, shift, is_shifted):
        redrawn = redraw_kernel(draws, n=n, m=m, d=d, scale=1, shift=shift * is_shifted)
        assert all(0.92 < each < 0.98 for each in redrawn.inside.values()), redrawn
        if is_shifted:
            assert all(0.85 < each < 1.15 for each in redrawn.ratio.values()), redrawn

    def test_both_ends_follow_the_value(self):
        """Neither jumps where the value passes 0, or what two errors are."""
        ends = []
        for shift in np.linspace(0, 0.6, 80):
            distance = kernel_distance_of_both(
                real=normal(60, 2, 1), synthetic=normal(60, 2, 2, shift=float(shift))
            )
            assert distance.low < distance.value < distance.high
            ends.append((distance.low, distance.high))
        steps = np.abs(np.diff(ends, axis=0)).max(0)
        assert (steps < 0.1 * np.ptp(ends, axis=0)).all()

    @pytest.mark.parametrize("few", [2, 3])
    def test_too_few_samples_leave_no_error(self, few):
        distance = kernel_distance_of_both(real=normal(50, 3, 1), synthetic=normal(few, 3, 2))
        assert math.isfinite(distance.value)
        assert all(math.isnan(each) for each in distance[1:])

    def test_samples_that_are_all_the_same(self):
        distance = kernel_distance_of_both(real=normal(50, 3, 1) * 0, synthetic=normal(9, 3, 2) * 0)
        assert list(distance) == [0] * 5


class TestStandard:
    def test_influence_is_a_derivative(self):
        """Of one sample's weight, as far as the mean and the deviation go with it."""
        real, synthetic = normal(80, 5, 1), normal(60, 5, 2, scale=0.8, shift=0.3)
        standard = Standard.of(real.mean(0), real.var(0))
        influence = influence_of_standard(real, synthetic, standard)

        step = 1e-5
        unchanged = distance_by(standard, real, synthetic)
        for number in (0, 7, 41):
            row = standard.of_rows(real)[number]
            deviation = standard.deviation * (1 + step * (row.square() - 1) / 2)
            moved = Standard(standard.mean + step * row * standard.deviation, deviation)
            change = distance_by(moved, real, synthetic) - unchanged
            assert float(influence[number]) == pytest.approx(change / step, rel=1e-3, abs=1e-4)

    def test_the_error_knows_that_the_standardisation_is_redrawn(self):
        """With the standard held fixed, it would be a quarter too small."""
        redrawn = redraw_kernel(100, n=100, m=150, d=2, scale=1, shift=0.5)
        assert redrawn.ratio["kid_standard"] == pytest.approx(1, abs=0.12)

    def test_large_sets_show_by_some_samples_how_the_distance_goes(self, monkeypatch):
        real, synthetic = normal(700, 5, 1), normal(600, 5, 2, scale=0.8, shift=0.3)
        of_some = standard_distance_of_both(real=real, synthetic=synthetic)
        monkeypatch.setattr("imglab.metrics.standard.MOST", 1000)
        of_all = standard_distance_of_both(real=real, synthetic=synthetic)
        assert of_some.of_both == pytest.approx(of_all.of_both, rel=0.05)


def distance_by(standard, real, synthetic):
    """Return the kernel distance of features standardised by a mean and a deviation."""
    return rough_kernel_distance(real=standard.of_rows(real), synthetic=standard.of_rows(synthetic))
