"""Products that take only the half that symmetry leaves, against the plain ones."""

import pytest
import torch

from imglab.metrics import products
from imglab.metrics.eigen import eigen_decomposition
from imglab.metrics.frechet import Coupling, Moments
from imglab.metrics.products import (
    congruence,
    doubled_above,
    gram,
    lower_times,
    outer,
    quadratic_forms,
)


@pytest.fixture(params=[1, 3, 8], autouse=True)
def strip(request, monkeypatch):
    monkeypatch.setattr(products, "STRIP", request.param)


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_a_gram_matrix_is_that_of_all_parts():
    rows = normal(20, 8)
    torch.testing.assert_close(gram(rows.split(7), 8), rows.T @ rows)
    torch.testing.assert_close(outer(rows), rows @ rows.T)


def test_triangular_products_agree_with_full_ones():
    lower = normal(8, 8).tril()
    symmetric = gram([normal(9, 8, seed=1)], 8)
    torch.testing.assert_close(lower_times(lower, symmetric), lower @ symmetric)
    torch.testing.assert_close(congruence(lower, symmetric), lower.T @ symmetric @ lower)


def test_quadratic_forms_agree_with_full_products():
    rows = normal(20, 8)
    symmetric = normal(8, 8, seed=1)
    symmetric += symmetric.T.clone()
    forms = quadratic_forms(rows, doubled_above(symmetric))
    torch.testing.assert_close(forms, (rows @ symmetric * rows).sum(1))


def test_a_large_decomposition_is_that_of_torch(monkeypatch):
    symmetric = gram([normal(9, 8)], 8)
    expected = torch.linalg.eigh(symmetric)
    monkeypatch.setattr("imglab.metrics.frechet.WIDE", 4)
    values, vectors = eigen_decomposition(symmetric)
    torch.testing.assert_close(values, expected.eigenvalues)
    torch.testing.assert_close(vectors.abs(), expected.eigenvectors.abs())


def test_the_maps_carry_one_gaussian_into_the_other():
    """T S T = S' for the optimal map T from one Gaussian to the other."""
    real = Moments.of(normal(50, 8))
    synthetic = Moments.of(normal(60, 8, seed=1) * torch.arange(1, 9))
    maps = Coupling(real, synthetic).maps()
    assert maps is not None
    forth, back = maps
    torch.testing.assert_close(forth @ real.covariance @ forth, synthetic.covariance)
    torch.testing.assert_close(back @ synthetic.covariance @ back, real.covariance)
