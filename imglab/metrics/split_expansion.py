"""The Fréchet distance and the Vendi score of splits to leading order about the whole pool.

As a whole they need the eigenvalues of a matrix of all features for each split. About the pool the
leading order is a sum over its samples, or over their pairs, which all splits share. What it leaves
out is a nearly constant share: a mean over all pairs of directions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from imglab.metrics import strips, tiles
from imglab.metrics.eigen import eigen_decomposition, eigh
from imglab.metrics.frechet import ROWS
from imglab.metrics.products import doubled_above, gram, quadratic_forms
from imglab.metrics.split_parts import REAL, SYNTHETIC, SplitParts
from imglab.metrics.strips import StripSums
from imglab.metrics.undefined import Undefined
from imglab.metrics.vendi import unit_rows

TRUSTED = 0.1
"""Most spread of what the leading order leaves out, in standard deviations of the metric."""

TERMS = 3
"""Squares of products that 1 / (a + b) is taken as a sum of; two leave out a hundredth more."""

SMALLEST = 1e-9
"""Eigenvalues below this share of the largest are taken for it."""


@dataclass
class Offset:
    """Estimates the log of a metric of splits: its leading order, and a mean of what is left."""

    _orders: list[float] = field(default_factory=list)
    _wholes: list[float] = field(default_factory=list)

    def add(self, order: float, whole: float) -> None:
        """Learn from the leading order of a split, and the metric as a whole; both are logs."""
        self._orders.append(order)
        self._wholes.append(whole)

    @property
    def is_trusted(self) -> bool:
        """Whether what is left differs little from split to split, beside how the metric does."""
        if len(self._wholes) < 2:
            return False
        wholes = torch.tensor(self._wholes, dtype=torch.float64)
        left = wholes - torch.tensor(self._orders, dtype=torch.float64)
        return float(left.std()) <= TRUSTED * float(wholes.std())

    def estimate(self, order: float) -> float:
        """Return the log of a split's metric from its leading order."""
        return order + (sum(self._wholes) - sum(self._orders)) / len(self._wholes)


def log_vendi_of_splits(pool: Tensor, parts: SplitParts) -> Tensor:
    """Return the log of `vendi` of each split to first order, float64 [S]; NaN: not known.

    With p and V the eigenvalues and vectors of the second moment of the pool's unit vectors x, it
    is the mean of -sum of (log p + 1) (V' x)^2, and a constant.
    """
    try:
        products = gram(unit_rows(pool.split(ROWS)), pool.shape[1]).div_(len(pool))
    except Undefined:
        return torch.full((len(parts),), torch.nan, dtype=torch.float64)
    values, vectors = eigen_decomposition(products)
    slopes = -values.clamp(min=SMALLEST * float(values[-1])).log() - 1
    doubled = doubled_above((vectors * slopes) @ vectors.T)
    forms = [quadratic_forms(rows, doubled) for rows in unit_rows(pool.split(ROWS))]
    return parts.mean_of_synthetic(torch.cat(forms))


class SplitExcess:
    """The Fréchet distance of all splits about their means, to second order about the pool.

    With the pool's covariance diag(l) and the difference E of those of the parts, it is half the
    sum of E_ab^2 / (l_a + l_b). The matrix of l_a l_b / (l_a + l_b) has few eigenvalues that
    count. So it is a sum over all pairs of samples of few squared products x' M y.
    """

    def __init__(self, pool: Tensor, parts: SplitParts, centre: Tensor, products: Tensor) -> None:
        """Take a pool, its mean, and the products of its samples about it."""
        self._pool = pool
        self._parts = parts
        self._centre = centre.to(torch.float32)
        values, vectors = eigen_decomposition(products / (len(pool) - 1))
        values = values.clamp(min=SMALLEST * float(values[-1]))
        self._matrices = [
            ((vectors * (weights / values)) @ vectors.T).float() for weights in _terms(values)
        ]
        self._sums = StripSums()

    @property
    def values(self) -> Tensor:
        """The values of all splits, float64 [S]."""
        return self._sums.total / 2

    def passes(self) -> Iterator[None]:
        """Look at all pairs, and stop in between."""
        starts = tiles.starts_of_blocks(len(self._pool))
        for start in starts:
            columns = slice(start, min(start + starts.step, len(self._pool)))
            rows = self._rows(columns)
            moved = [rows @ matrix for matrix in self._matrices]
            for first in range(0, columns.stop, tiles.TILE):
                if strips.is_taken(first // tiles.TILE):
                    part = slice(first, min(first + tiles.TILE, columns.stop))
                    self._add_strip(part, columns, moved)
            yield

        if strips.processes() > 1:
            self._sums.gather()

    def _add_strip(self, rows: slice, columns: slice, moved: list[Tensor]) -> None:
        """Add the pairs of a strip of rows with columns that do not lie before it."""
        features = self._rows(rows)
        weights = self._weights(rows)
        for start in range(max(rows.start, columns.start), columns.stop, tiles.TILE):
            part = slice(start, min(start + tiles.TILE, columns.stop))
            inner = slice(part.start - columns.start, part.stop - columns.start)
            squares = torch.zeros(len(features), part.stop - part.start)
            for each in moved:
                squares.add_((features @ each[inner].T).square_())
            sums = (weights * (squares @ self._weights(part))).sum(0, dtype=torch.float64)
            if start != rows.start:
                sums *= 2  # the mirror image counts, too
            self._sums.add(_Part(rows, part), sums)

    def _rows(self, which: slice) -> Tensor:
        return self._pool[which].float() - self._centre

    def _weights(self, which: slice) -> Tensor:
        """Return 1 / N for real samples, -1 / M for synthetic ones, and 0 for others, [B, S]."""
        member = self._parts.member[which]
        return (member == REAL) / self._parts.n - (member == SYNTHETIC) / self._parts.m


@dataclass(frozen=True)
class _Part:
    """Pairs of some rows with some columns."""

    rows: slice
    columns: slice


def _terms(values: Tensor) -> list[Tensor]:
    """Return w, [D] each, so that a b / (a + b) is about the sum of w_a w_b, for values [D].

    They are the first eigenvectors of that matrix, by iteration from powers of the values.
    """
    matrix = values[:, None] * values / (values[:, None] + values)
    basis = torch.stack([values ** (power / 4) for power in range(2 * TERMS + 2)], 1)
    for _ in range(TERMS + 2):
        basis = torch.linalg.qr(matrix @ basis).Q
    sizes, vectors = eigh(basis.T @ matrix @ basis)
    scaled = (basis @ vectors) * sizes.clamp(min=0).sqrt()
    return list(scaled[:, -TERMS:].T)
