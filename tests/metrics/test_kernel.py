"""The kernel distance against closed forms, limits and reference implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from torchmetrics.image.kid import poly_mmd

from imglab.metrics import kernel_distance
from imglab.metrics.kernel import kernel_distance_of_both
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
