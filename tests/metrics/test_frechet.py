"""The Fréchet distance against closed forms, limits and reference implementations."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch

from imglab.metrics import Moments, Undefined, frechet_distance, frechet_standard_error
from tests.metrics.references import normal


class TestFrechet:
    @pytest.mark.parametrize(
        ("n", "m", "d"), [(200, 300, 8), (500, 400, 64), (40, 300, 64), (30, 20, 64), (300, 40, 64)]
    )
    def test_agrees_with_scipy(self, n, m, d):
        real, synthetic = normal(n, d, 1), normal(m, d, 2, scale=0.8, shift=0.1)
        first, second = np.cov(real.numpy().T), np.cov(synthetic.numpy().T)
        if min(n, m) > d:
            root = np.trace(scipy.linalg.sqrtm(first @ second).real)
        # Sqrtm of a singular product loses half the digits; tr (AB)^(1/2) = |A^(1/2) B^(1/2)|_*
        # does not.
        else:
            root = scipy.linalg.svdvals(
                scipy.linalg.sqrtm(first).real @ scipy.linalg.sqrtm(second).real
            ).sum()
        expected = (
            ((real.mean(0) - synthetic.mean(0)) ** 2).sum().item()
            + np.trace(first + second)
            - 2 * root
        )
        scale = np.trace(first) + np.trace(second)
        assert abs(frechet_distance(real=real, synthetic=synthetic) - expected) < 1e-6 * scale

    def test_agrees_with_torchmetrics(self):
        from torchmetrics.image.fid import _compute_fid

        real, synthetic = normal(300, 32, 3), normal(300, 32, 4, scale=1.2)
        expected = _compute_fid(
            mu1=real.mean(0),
            sigma1=torch.cov(real.T),
            mu2=synthetic.mean(0),
            sigma2=torch.cov(synthetic.T),
        )
        assert frechet_distance(real=real, synthetic=synthetic) == pytest.approx(
            float(expected), rel=1e-9
        )

    def test_closed_form_of_diagonal_gaussians(self):
        base = normal(4000, 3, 5)
        base = (base - base.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(base.T)).T)
        stretched = base * torch.tensor([2.0, 1.0, 0.5]) + torch.tensor([1.0, 0.0, 0.0])
        assert frechet_distance(real=base, synthetic=stretched) == pytest.approx(
            1 + 1 + 0 + 0.25, rel=1e-9
        )

    @pytest.mark.parametrize("n", [20, 400])
    def test_identity_is_zero(self, n):
        features = normal(n, 50, 6)
        assert frechet_distance(real=features, synthetic=features) < 1e-9 * float(
            features.square().sum() / n
        )

    def test_constant_features(self):
        real, constant = normal(100, 5, 7), torch.full((50, 5), 2.0, dtype=torch.float64)
        expected = float(torch.cov(real.T).trace() + (real.mean(0) - 2).square().sum())
        assert frechet_distance(real=real, synthetic=constant) == pytest.approx(expected, rel=1e-9)
        assert frechet_distance(real=constant, synthetic=constant) == 0

    def test_dead_feature(self):
        """A column that is constant in both sets adds only its shift."""
        real, synthetic = normal(300, 6, 8), normal(300, 6, 9)
        more_real = torch.cat([real, torch.zeros(300, 1)], 1)
        more_synthetic = torch.cat([synthetic, torch.full((300, 1), 3.0)], 1)
        without = frechet_distance(real=real, synthetic=synthetic)
        assert frechet_distance(real=more_real, synthetic=more_synthetic) == pytest.approx(
            without + 9, rel=1e-7
        )

    def test_standard_error_matches_repeated_draws(self):
        real = Moments.of(normal(2000, 4, 10))
        draws = [normal(300, 4, seed, scale=1.3) for seed in range(100, 400)]
        spread = torch.tensor(
            [frechet_distance(real=normal(2000, 4, 10), synthetic=draw) for draw in draws]
        ).std()
        claimed = torch.tensor(
            [frechet_standard_error(real=real, synthetic=draw) for draw in draws]
        ).mean()
        assert float(claimed / spread) == pytest.approx(1, abs=0.15)

    def test_standard_error_needs_full_rank(self):
        with pytest.raises(Undefined, match="singular"):
            frechet_standard_error(real=Moments.of(normal(100, 4, 1)), synthetic=torch.zeros(50, 4))
        with pytest.raises(Undefined, match="singular"):
            frechet_standard_error(real=Moments.of(normal(100, 40, 1)), synthetic=normal(20, 40, 2))

    def test_too_few_samples(self):
        with pytest.raises(Undefined, match="at least 2 synthetic"):
            frechet_distance(real=normal(10, 3, 1), synthetic=normal(1, 3, 2))
