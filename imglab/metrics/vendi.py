"""Vendi score (Friedman and Dieng 2023): the effective number of different samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from imglab.metrics.frechet import ROWS
from imglab.metrics.products import gram, outer
from imglab.metrics.undefined import Undefined


def vendi_score(features: Tensor) -> float:
    """Return exp of the entropy of the eigenvalues of K / N, K the cosine similarities.

    features  float [N, D], N >= 1, no zero rows, else `Undefined`

    It lies in [1, min(N, D)]. The D x D dual matrix has the same eigenvalues as K and is used where
    it is the smaller one.

    >>> round(vendi_score(torch.eye(3)), 6), round(vendi_score(torch.ones(3, 2)), 6)
    (3.0, 1.0)
    """
    if not len(features) or not bool(features.isfinite().all()):
        raise Undefined("needs at least one sample, and finite features")
    n, width = features.shape
    if n > width:
        products = gram(unit_rows(features.split(ROWS)), width)
    else:
        products = outer(torch.cat(list(unit_rows(features.split(ROWS)))))
    return float(torch.exp(entropy_of(products.div_(n))))


def entropy_of(products: Tensor) -> Tensor:
    """Return the entropy of the eigenvalues of a symmetric matrix, float64 [D, D]."""
    values = torch.linalg.eigvalsh(products).clamp(min=0)
    entropy: Tensor = torch.special.entr(values).sum()
    return entropy


def unit_rows(parts: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield parts of features, [B, D] each, with rows of unit length, float64 [B, D]."""
    for part in parts:
        rows = part.double()
        norms = rows.norm(dim=1, keepdim=True)
        if bool((norms == 0).any()):
            what = "a sample has zero features: its similarity to others is undefined"
            raise Undefined(what)
        yield rows / norms
