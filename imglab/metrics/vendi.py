"""Vendi score (Friedman and Dieng 2023): the effective number of different samples."""

from __future__ import annotations

from collections.abc import Iterator

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
        products = gram(_unit(features), width)
    else:
        products = outer(torch.cat(list(_unit(features))))
    values = torch.linalg.eigvalsh(products / n).clamp(min=0)
    return float(torch.exp(torch.special.entr(values).sum()))


def _unit(features: Tensor) -> Iterator[Tensor]:
    """Yield the rows of features [N, D] at unit length, float64 [B, D]."""
    for part in features.split(ROWS):
        rows = part.double()
        norms = rows.norm(dim=1, keepdim=True)
        if bool((norms == 0).any()):
            what = "a sample has zero features: its similarity to others is undefined"
            raise Undefined(what)
        yield rows / norms
