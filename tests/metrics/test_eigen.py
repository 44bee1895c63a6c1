"""Eigenvectors of matrices with many equal eigenvalues, of which one library gives up on some."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import one_hot

from imglab.metrics.eigen import eigh
from imglab.metrics.frechet import Moments, frechet_parts


def one_hot_draws(seed: int) -> torch.Tensor:
    """500 draws of 300 Zipf categories, one-hot: most covariances of them have zeros in plenty."""
    shares = 1 / torch.arange(1, 301) ** 1.5
    generator = torch.Generator().manual_seed(seed)
    return one_hot(torch.multinomial(shares, 500, True, generator=generator), 300).double()


def assert_decomposed(matrix: torch.Tensor) -> None:
    values, vectors = eigh(matrix)
    assert ((vectors * values[..., None, :]) @ vectors.mT).allclose(matrix, atol=1e-12)
    assert bool((values.diff() >= -1e-12).all())


@pytest.mark.parametrize("seed", [7, 31, 35, 89])
def test_covariances_of_categories_are_decomposed(seed):
    """MKL does not converge on some of these."""
    assert_decomposed(torch.cov(one_hot_draws(seed).T))


def gives_up(matrix):
    raise RuntimeError("failed to converge")


def test_what_torch_gives_up_on_is_decomposed_all_the_same(monkeypatch):
    monkeypatch.setattr(torch.linalg, "eigh", gives_up)
    assert_decomposed(torch.cov(one_hot_draws(0).T))
    assert_decomposed(torch.eye(3).double().expand(2, 3, 3))


def test_a_matrix_that_is_not_finite_is_told(monkeypatch):
    monkeypatch.setattr(torch.linalg, "eigh", gives_up)
    with pytest.raises(RuntimeError, match="failed to converge"):
        eigh(torch.full((3, 3), float("nan"), dtype=torch.float64))


def test_frechet_distances_of_categories_are_finite():
    for seed in (7, 31):
        moments = [Moments.of(one_hot_draws(each)) for each in (seed, seed + 1)]
        parts = frechet_parts(real=moments[0], synthetic=moments[1])
        assert 0 <= sum(parts) < 1
