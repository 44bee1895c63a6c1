"""Where the real data are recalled and covered: by tenths of the real samples, by density."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from imglab.metrics.prdc import Balls, balls
from imglab.metrics.undefined import Undefined

TENTHS = 10


class Tails(NamedTuple):
    """Recall and coverage in each tenth of the real samples; the first is the thinnest region."""

    recall: list[float]
    coverage: list[float]


def by_decile(
    *, real: Tensor, synthetic: Tensor, precision_recall_k: int = 3, density_coverage_k: int = 5
) -> Tails:
    """Return recall and coverage of each tenth of the real samples, ordered by density.

    real, synthetic  float [N, D] and [M, D], more than k samples each and at least 10 real ones,
                     else `Undefined`

    The density at a real sample is judged by the distance to its k-th nearest other real sample
    (k = density_coverage_k): the first tenth has the largest distances, so it is the tail.

    Equal distributions cover the tenths nearly alike, since a ball's share of synthetic samples
    does not depend on its size. The last tenth is covered a little less, as its balls are small by
    chance, too. Recall differs between tenths even then: compare with the floor.
    """
    flags = balls(
        real=real,
        synthetic=synthetic,
        precision_recall_k=precision_recall_k,
        density_coverage_k=density_coverage_k,
    )
    return tails_of(flags)


def tails_of(flags: Balls) -> Tails:
    """Take the means, by tenths, of what `balls` decided."""
    size = len(flags.real_radii)
    if size < TENTHS:
        raise Undefined(f"needs at least {TENTHS} real samples, has {size}")
    order = thinnest_first(flags.real_radii)
    return Tails(tenths(flags.is_recalled, order), tenths(flags.is_covered, order))


def thinnest_first(radii: Tensor) -> Tensor:
    """Order samples by their radii [N], the largest first; of equal ones the lower index first."""
    return radii.argsort(descending=True, stable=True)


def tenths(flags: Tensor, order: Tensor) -> list[float]:
    """Return the mean of the flags [N] in each tenth of the samples in this order."""
    return [float(part.double().mean()) for part in torch.tensor_split(flags[order], TENTHS)]
