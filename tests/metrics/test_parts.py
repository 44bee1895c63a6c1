"""The parts of the Fréchet distance and matched moments: closed forms, limits, the null."""

from __future__ import annotations

import pytest
import torch

from imglab.metrics import (
    Moments,
    Undefined,
    frechet_distance,
    frechet_of_moments,
    frechet_parts,
    match_moments,
)
from tests.metrics.references import normal


def gaussian(mean, covariance):
    return Moments(torch.tensor(mean).double(), torch.tensor(covariance).double(), 10**6)


class TestParts:
    def test_closed_form_of_diagonal_gaussians(self):
        """Standard deviations 1, 2 against 3, 1: |dm|^2 = 5, and 4 + 1 for the covariances."""
        real = gaussian([0, 0], [[1, 0], [0, 4]])
        synthetic = gaussian([1, 2], [[9, 0], [0, 1]])
        parts = frechet_parts(real=real, synthetic=synthetic)

        assert parts.mean == pytest.approx(5)
        assert parts.variance == pytest.approx((5**0.5 - 10**0.5) ** 2)
        assert parts.rest == pytest.approx(5 - (5**0.5 - 10**0.5) ** 2)

    @pytest.mark.parametrize(("n", "m", "d"), [(200, 300, 8), (30, 40, 64), (300, 40, 64)])
    def test_they_add_up(self, n, m, d):
        real = Moments.of(normal(n, d, 1))
        synthetic = Moments.of(normal(m, d, 2, scale=0.7, shift=0.2))
        parts = frechet_parts(real=real, synthetic=synthetic)
        whole = frechet_of_moments(real=real, synthetic=synthetic)
        assert sum(parts) == pytest.approx(whole, rel=1e-9)
        assert min(parts) >= 0

    def test_a_faded_and_shifted_set_has_no_rest(self):
        real = normal(300, 6, 3) @ torch.diag(torch.arange(1.0, 7.0).double())
        faded = frechet_parts(real=Moments.of(real), synthetic=Moments.of(0.6 * real + 1))
        trace = float(Moments.of(real).covariance.trace())

        assert faded.mean == pytest.approx(float((0.6 * real + 1 - real).mean(0).square().sum()))
        assert faded.variance == pytest.approx(0.4**2 * trace)
        assert faded.rest < 1e-9 * trace

    def test_a_turned_set_has_nothing_but_rest(self):
        real = normal(300, 2, 4) @ torch.diag(torch.tensor([3.0, 1.0]).double())
        real = real - real.mean(0)
        parts = frechet_parts(real=Moments.of(real), synthetic=Moments.of(real.flip(1)))
        assert parts.mean + parts.variance < 1e-9
        assert parts.rest > 1


class TestMatching:
    def test_one_factor_matches_mean_and_total_variance(self):
        real, synthetic = normal(200, 5, 1, shift=3), normal(90, 5, 2, scale=0.3)
        matched = Moments.of(match_moments(synthetic, to=real))
        target = Moments.of(real)
        assert torch.allclose(matched.mean, target.mean)
        assert float(matched.covariance.trace()) == pytest.approx(float(target.covariance.trace()))

    def test_it_undoes_fading_and_only_that(self):
        real = normal(200, 5, 1) * torch.arange(1.0, 6.0)
        restored = match_moments(0.3 * real + 4, to=real)
        assert frechet_distance(real=real, synthetic=restored) < 1e-9
        turned = match_moments(0.3 * real.flip(1), to=real)
        assert frechet_distance(real=real, synthetic=turned) > 1

    def test_each_dimension_by_itself(self):
        real, synthetic = normal(200, 5, 1) * torch.arange(1.0, 6.0), normal(90, 5, 2)
        matched = match_moments(synthetic, to=real, each=True)
        assert torch.allclose(matched.std(0), real.std(0))

    def test_constant_dimensions(self):
        """A constant of the synthetic set is shifted only; one of the real set holds for both."""
        real, synthetic = normal(50, 3, 1), normal(40, 3, 2)
        synthetic[:, 0] = 7
        real[:, 1] = 0.1
        matched = match_moments(synthetic, to=real, each=True)
        assert torch.allclose(matched[:, 0], real[:, 0].mean())
        assert torch.allclose(matched[:, 1], torch.tensor(0.1).double())
        assert bool(match_moments(synthetic, to=real).isfinite().all())

    def test_equal_samples_have_no_spread_to_match(self):
        with pytest.raises(Undefined, match="no spread"):
            match_moments(torch.ones(9, 3), to=normal(50, 3, 1))
        assert bool((match_moments(torch.ones(9, 3), to=torch.zeros(5, 3)) == 0).all())
