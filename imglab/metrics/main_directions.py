"""Metrics of splits of a pool from its main directions, where a whole one is costly.

What is left of a metric, divided by the variance that is left, hardly changes from split to split:
it is a mean over very many directions. So its mean over a few splits is taken for all others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from imglab.metrics.frechet import ROWS, Coupling, Moments, eigen_decomposition
from imglab.metrics.products import gram
from imglab.metrics.vendi import entropy_of

DIRECTIONS = 128
"""Main directions of the pool that are looked at in every split."""

TRUSTED = 0.1
"""Most spread of what is left, in standard deviations of the metric over splits."""


class Part(NamedTuple):
    """A metric of one split: its part in the main directions, and the variance that is left."""

    main: float
    left: float


@dataclass
class MainPart:
    """Estimates a metric of splits from its part in the main directions."""

    _parts: list[Part] = field(default_factory=list)
    _wholes: list[float] = field(default_factory=list)

    def add(self, part: Part, whole: float) -> None:
        """Learn from a split of which the whole metric is known."""
        self._parts.append(part)
        self._wholes.append(whole)

    @property
    def is_trusted(self) -> bool:
        """Whether estimates differ little from the wholes, beside how these differ."""
        if len(self._wholes) < 2:
            return False
        wholes = torch.tensor(self._wholes, dtype=torch.float64)
        estimates = torch.tensor([self.estimate(each) for each in self._parts], dtype=torch.float64)
        return float((wholes - estimates).std()) <= TRUSTED * float(wholes.std())

    def estimate(self, part: Part) -> float:
        """Return a split's metric from its main directions, and what is left on average."""
        left = sum(each.left for each in self._parts)
        rest = sum(self._wholes) - sum(each.main for each in self._parts)
        return part.main + rest / left * part.left


@dataclass(frozen=True)
class MainDirections:
    """A pool of P samples along its main directions and its mean.

    along   float32 [P, K]
    length  the length of each sample, float64 [P]
    """

    along: Tensor
    length: Tensor

    @classmethod
    def of(cls, pool: Tensor, centre: Tensor, products: Tensor) -> MainDirections:
        """Find the directions of a pool, float [P, D].

        centre    its mean, float64 [D]
        products  of the samples about it, float64 [D, D]
        """
        vectors = eigen_decomposition(products)[1][:, -DIRECTIONS:]
        basis = torch.linalg.qr(torch.cat([centre[:, None], vectors], 1)).Q
        along = torch.cat([(rows.double() @ basis).float() for rows in pool.split(ROWS)])
        length = torch.cat([rows.double().norm(dim=1) for rows in pool.split(ROWS)])
        return cls(along, length)

    def excess(self, real: Tensor, synthetic: Tensor, variance: float) -> Part:
        """Return the Fréchet distance of two parts about their means.

        variance  the sum of the total variances of both parts
        """
        coupling = Coupling(
            Moments.of(self.along[real].double()), Moments.of(self.along[synthetic].double())
        )
        seen = float(coupling.real.covariance.trace() + coupling.synthetic.covariance.trace())
        return Part(seen - 2 * coupling.trace_of_root, variance - seen)

    def entropy(self, rows: Tensor) -> Part | None:
        """Return the entropy that `vendi` is the exponential of; None: a sample is zero."""
        if not bool(self.length[rows].all()):
            return None
        unit = self.along[rows].double().div_(self.length[rows, None])
        products = gram([unit], unit.shape[1]).div_(len(rows))
        return Part(float(entropy_of(products)), 1 - float(products.trace()))
