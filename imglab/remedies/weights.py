"""Loss weights by origin: the golden ratio (He, Xu and Cheng, 2502.18049).

A fit minimizes w mean(loss of real samples) + (1 - w) mean(loss of synthetic ones). For chains
that train on equal parts of fresh real data and of the last generation's samples, the best w is
1/phi = .618 whatever is estimated; for the mean of a normal distribution the stationary variance is

    n Var(mean) = (w^2 + (1 - w)^2) / (1 - (1 - w)^2)

with n samples in each part, whose minimum is .618, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from imglab.model import GenerativeModel
from imglab.progress import Stage
from imglab.remedies.abilities import WeighsSamples
from imglab.remedies.contract import Fit, Remedy, required
from imglab.samples import REAL

CLOSE = 1e-12
"""A weight this near to the natural share is the natural share."""


@dataclass(frozen=True)
class Weights(Remedy):
    """Gives the real part of a training set the share `real` of the loss.

    A training set of one part alone, and one whose share of real samples is `real`, stay as they
    are.
    """

    real: float
    first: int = 1

    def problems(self, model: GenerativeModel) -> Iterator[tuple[str, str, str]]:
        """Yield a problem of a model whose fit cannot weigh its samples."""
        remedy = "leave it out, or choose a model that trains by a loss"
        name = "whose fit weighs its samples"
        yield from required(model, WeighsSamples, name, remedy, lambda each: each.check_weights())

    def before(self, fit: Fit) -> Stage[Fit]:
        """Return the fit of a weighted training set."""
        yield from ()
        weights = origin_weights(fit.train.origin, self.real)
        if weights is None:
            return fit
        return replace(fit, train=fit.train.weighted(weights))


def origin_weights(origin: Tensor, real: float) -> Tensor | None:
    """Return a weight for each row, float64 [N] of mean 1; None where all would be 1.

    origin  of the rows, int16 [N]
    real    share of the weight that the real rows together have, in [0, 1]
    """
    is_real = origin == REAL
    share = float(is_real.double().mean())
    if share in (0.0, 1.0) or abs(share - real) < CLOSE:
        return None
    ones = torch.ones(len(origin), dtype=torch.float64)
    return torch.where(is_real, ones * (real / share), ones * ((1 - real) / (1 - share)))
