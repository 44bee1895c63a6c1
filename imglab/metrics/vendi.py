"""Vendi score (Friedman and Dieng 2023): the effective number of different samples."""

from __future__ import annotations

import torch
from torch import Tensor

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
    norms = features.double().norm(dim=1, keepdim=True)
    if bool((norms == 0).any()):
        raise Undefined("a sample has zero features: its similarity to others is undefined")

    unit = features.double() / norms
    gram = unit.T @ unit if len(unit) > unit.shape[1] else unit @ unit.T
    values = torch.linalg.eigvalsh(gram / len(unit)).clamp(min=0)
    return float(torch.exp(torch.special.entr(values).sum()))
