"""Features standardised by the real set, and what a real sample does through that."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from imglab.metrics.points import Points
from imglab.seeds import generator

MOST = 512
"""Samples of each set that show how the kernel distance goes with the standardisation."""


def standardised(features: Tensor, *, by: Tensor) -> Tensor:
    """Return (features - mean) / deviation, float64 [N, D], both of `by` [M, D], M >= 2."""
    values = by.double()
    return Standard.of(values.mean(0), values.var(0)).of_rows(features)


class Standard(NamedTuple):
    """A mean and a deviation, float64 [D] each, by which features are standardised."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, mean: Tensor, variance: Tensor) -> Standard:
        """Choose them from the mean and the variance of a set; a constant is only centred."""
        deviation = variance.sqrt()

        # Rounding alone gives a constant dimension a deviation.
        is_constant = deviation <= 1e-12 * mean.abs()
        return cls(mean, deviation.where(~is_constant, torch.ones_like(deviation)))

    def of_rows(self, features: Tensor) -> Tensor:
        """Standardise features [N, D], float64."""
        rows = features.to(torch.float64, copy=True)
        return rows.sub_(self.mean).div_(self.deviation)


class StandardPoints(Points):
    """Distinct rows, standardised, as `tiles` takes them: for their products alone."""

    def __init__(self, points: Points, standard: Standard) -> None:
        vars(self).update(vars(points))
        self._standard = standard

    def part(self, which: slice) -> tuple[Tensor, Tensor]:
        """Return some distinct rows, [B, D], and zeros for their lengths, [B]."""
        rows = super().part(which)[0]
        return rows, rows.new_zeros(len(rows))

    def _moved(self, which: Tensor) -> Tensor:
        return self._standard.of_rows(self.rows.index_select(0, which)).to(self.dtype)

    def kernel_terms(self) -> tuple[float, Tensor]:
        """Return what `Points.kernel_terms` does."""
        return 1 / self.rows.shape[1], torch.full((len(self),), 0.5, dtype=torch.float64)


def influence_of_standard(real: Tensor, synthetic: Tensor, standard: Standard) -> Tensor:
    """Return by how much each real sample moves the kernel distance through the standardisation.

    real, synthetic  float [N, D], [M, D], N >= 2, M >= 2; `standard` is that of the real ones

    It is N times the derivative by the sample's weight, float64 [N], with the kernel's own sums
    left as they are. A standardised value z moves the mean by z, and the logarithm of the
    deviation by (z^2 - 1) / 2. How the distance goes with these is taken from at most 512 random
    samples of each set, as far from 0 as chance takes a distance of so many.
    """
    by_mean, by_deviation = _slopes(_some(real, standard), _some(synthetic, standard))
    influences = []
    for rows in real.split(MOST):
        values = standard.of_rows(rows)
        influences.append(values @ by_mean + (values.square_() - 1) @ by_deviation / 2)
    return torch.cat(influences)


def _some(features: Tensor, standard: Standard) -> Tensor:
    """Return at most `MOST` of the features, standardised, float64 [B, D]."""
    if len(features) > MOST:
        order = torch.randperm(len(features), generator=generator("standard", len(features)))
        features = features[order[:MOST]]
    return standard.of_rows(features)


def _slopes(real: Tensor, synthetic: Tensor) -> tuple[Tensor, Tensor]:
    """Return the derivatives of the kernel distance of standardised features, float64 [D] each.

    The first is by the mean of each dimension, in deviations, the second by the logarithm of its
    deviation.
    """
    n = len(real)
    m = len(synthetic)
    width = real.shape[1]
    by_mean = torch.zeros(width, dtype=torch.float64)
    by_deviation = torch.zeros(width, dtype=torch.float64)
    pairs = (
        (real, real, 1 / (n * (n - 1))),
        (synthetic, synthetic, 1 / (m * (m - 1))),
        (real, synthetic, -2 / (n * m)),
    )
    for rows, others, share in pairs:
        slope = (rows @ others.T).div_(width).add_(1).square_().mul_(3 * share / width)
        if rows is others:
            slope.fill_diagonal_(0)
        by_mean -= slope.sum(1) @ rows + slope.sum(0) @ others
        by_deviation -= 2 * (rows * (slope @ others)).sum(0)
    return by_mean, by_deviation
