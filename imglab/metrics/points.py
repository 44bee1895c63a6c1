"""Feature sets as distinct rows in one frame, and the exact distances between their rows."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from imglab.metrics.rows import hash_rows

PAIRS = 128
"""Rows, or pairs of rows, that are looked at in float64 at a time."""

SMALL = 2**29
"""Products of pairs and dimensions up to which float64 is used throughout: it takes no time."""

HELD = 2.0**40
"""Values up to this, in the scale of a frame, can be seen in it: no square overflows."""

SMALLEST = 100
"""Sets whose largest value is below 2^-100 are scaled up no further: float32 ends soon after."""


@dataclass(frozen=True)
class Frame:
    """Where products are taken: rows times `scale`, less `centre`.

    centre  [D], so that the products are small and their rounding errors, too
    scale   a power of two, so that scaling is exact and no square overflows
    """

    centre: Tensor
    scale: float

    @classmethod
    def of(cls, *sets: Tensor, mean: Tensor | None = None) -> Frame:
        """Choose the frame for these sets, float [N, D] each, about the mean of the first, [D]."""
        bounds = [bound for points in sets for bound in torch.aminmax(points)]
        largest = max(abs(float(bound)) for bound in bounds)

        scale = 1.0
        if largest:
            exponent = math.frexp(largest)[1]  # largest < 2^exponent
            scale = 2.0 ** -max(-SMALLEST, exponent)
        if mean is not None:
            return cls((mean * scale).to(sets[0].dtype), scale)
        return cls((sets[0] * scale).mean(0), scale)

    def holds(self, points: Tensor) -> bool:
        """Say whether a set, float [N, D], can be seen in this frame."""
        return all(abs(float(bound)) * self.scale < HELD for bound in torch.aminmax(points))


class Points:
    """The M distinct rows of a feature matrix [N, D], seen in a frame; equal rows are kept once.

    rows     the feature matrix itself, not moved into the frame, [N, D]
    dtype    in which products are taken
    first    where each distinct row occurs first in it, int64 [M]
    inverse  which distinct row each of the N rows is, int64 [N]
    weight   how often each distinct row occurs, int64 [M]
    squares  squared lengths of the distinct rows in the frame, [M]
    """

    def __init__(self, rows: Tensor, frame: Frame, dtype: torch.dtype) -> None:
        self.frame = frame
        self.rows = rows
        self.dtype = dtype
        self.first, self.inverse, self.weight = _distinct(rows)

        self.squares = self._squared_lengths()

    def around_own_middle(self) -> Points:
        """Return the same rows about their own middle, in the same scale: exact distances stay.

        Far from the centre of a frame, the products of a narrow set say nothing of its distances.
        The middle is the median of some rows, which outliers do not move.
        """
        some = self.first[:: -(-len(self) // PAIRS)]
        middle = (self.rows[some] * self.frame.scale).median(0).values

        points = copy.copy(self)
        points.frame = Frame(middle, self.frame.scale)
        points.squares = points._squared_lengths()
        return points

    def __len__(self) -> int:
        return len(self.first)

    def part(self, which: slice) -> tuple[Tensor, Tensor]:
        """Return some distinct rows in the frame, [B, D], and their squared lengths, [B]."""
        rows = self.first[which]
        moved = torch.empty(len(rows), self.rows.shape[1], dtype=self.dtype)
        for block, few in zip(moved.split(PAIRS), rows.split(PAIRS), strict=True):
            block.copy_(self._moved(few))
        return moved, self.squares[which]

    def float64_part(self, which: slice) -> Tensor:
        """Return some distinct rows in the frame, without rounding them to `dtype`, [B, D]."""
        return self.values(which).mul_(self.frame.scale).sub_(self.frame.centre)

    def values(self, which: Tensor | slice) -> Tensor:
        """Return some distinct rows as they are, outside the frame, float64 [P, D]."""
        # Whole rows are read by `index_select` three times as fast as by an index in brackets.
        return self.rows.index_select(0, self.first[which]).double()

    def along(self, direction: Tensor) -> Tensor:
        """Return the product of each distinct row with a direction, [D], float64 [M]."""
        parts = self.first.split(PAIRS)
        return torch.cat([self._moved(part).double() @ direction for part in parts])

    def kernel_terms(self) -> tuple[float, Tensor]:
        """Return s and t, float64 [M], with x . y / D + 1 = s p + t_x + t_y for rows of any sets.

        p is their product in the frame, where a row is `scale` x - `centre`.
        """
        scale = 1 / self.rows.shape[1] / self.frame.scale**2
        centre = self.frame.centre.double()
        offsets = (self.along(centre) + centre.square().sum() / 2) * scale + 0.5
        return scale, offsets

    def _squared_lengths(self) -> Tensor:
        squares = [self._moved(part).double().square_().sum(1) for part in self.first.split(PAIRS)]
        return torch.cat(squares).to(self.dtype)  # [M]

    def _moved(self, which: Tensor) -> Tensor:
        rows = self.rows.index_select(0, which).mul_(self.frame.scale).sub_(self.frame.centre)
        return rows.to(self.dtype)


class EveryRow(Points):
    """All rows of a feature matrix in a frame; of equal rows each stands for itself."""

    def __init__(self, rows: Tensor, frame: Frame, dtype: torch.dtype) -> None:
        self.frame = frame
        self.rows = rows
        self.dtype = dtype
        self.first = torch.arange(len(rows))
        self.inverse = self.first
        self.weight = torch.ones_like(self.first)
        self.squares = self._squared_lengths()

    def chosen(self, which: Tensor) -> EveryRow:
        """Return some of the rows, int64 [M], in the same frame."""
        points = copy.copy(self)
        points.first = self.first[which]
        points.inverse = torch.arange(len(which))
        points.weight = self.weight[which]
        points.squares = self.squares[which]
        return points


def in_one_frame(*sets: Tensor) -> list[Points]:
    """Return feature sets, float [N, D] each, in one frame and one precision."""
    dtype = precision(*sorted(sets, key=lambda points: points.dtype != torch.float64))
    cast = [points.to(dtype) for points in sets]
    frame = Frame.of(*cast)
    return [Points(points, frame, dtype) for points in cast]


def precision(*sets: Tensor) -> torch.dtype:
    """Return in which precision products of these sets, float [N, D], are taken.

    It is float32, which is twice as fast, unless the sets are small or the first is float64.
    """
    rows = max(map(len, sets))
    if sets[0].dtype == torch.float64 or rows**2 * sets[0].shape[1] <= SMALL:
        return torch.float64
    return torch.float32


def squared_distances(points: Points, i: Tensor, others: Points, j: Tensor) -> Tensor:
    """Return the squared distances of pairs of distinct rows, exactly, in the frame's scale.

    i, j  which rows of `points` and of `others`, int64 [P]; the result is float64 [P]

    They come from the differences of the rows in float64. The sum over dimensions is a running
    sum, which makes each value independent of the other pairs.
    """
    distances = torch.empty(len(i), dtype=torch.float64)

    for part in torch.arange(len(i)).split(PAIRS):
        difference = points.values(i[part])  # [PAIRS, D]
        difference.sub_(others.values(j[part])).mul_(points.frame.scale)
        distances[part] = difference.square_().cumsum(1)[:, -1]
    return distances


def rounded_distances(rows: Tensor, others: Tensor) -> Tensor:
    """Return squared distances by one product, float64 [B, C], for metrics that may round.

    rows, others  float64 [B, D], [C, D], centred, so that the products are small

    The error of a square is about 1e-16 D of the rows' squared lengths; below it, a distance is 0.
    So equal rows are at distance exactly 0.
    """
    lengths = rows.square().sum(1)[:, None] + others.square().sum(1)
    squared = lengths - 2 * rows @ others.T

    error = (rows.shape[1] + 16) * torch.finfo(torch.float64).eps
    squared[squared <= error * lengths] = 0
    return squared


def _distinct(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return `first`, `inverse` and `weight` of `Points`.

    Rows are compared by a 64-bit hash, which is much faster than sorting the rows. Only if two
    different rows have one hash are the rows themselves sorted.
    """
    hashes = hash_rows(rows)
    _, inverse, weight = torch.unique(hashes, return_inverse=True, return_counts=True)
    if not _is_right(rows, inverse, weight):
        _, inverse, weight = torch.unique(rows, dim=0, return_inverse=True, return_counts=True)
    return _first(inverse, len(weight)), inverse, weight


def _is_right(rows: Tensor, inverse: Tensor, weight: Tensor) -> bool:
    """Say whether all rows that count as one are equal."""
    repeated = (weight[inverse] > 1).nonzero().flatten()
    first = _first(inverse, len(weight))

    for part in repeated.split(PAIRS):
        is_equal = rows[part] == rows[first[inverse[part]]]
        if not bool(is_equal.all()):
            return False
    return True


def _first(inverse: Tensor, size: int) -> Tensor:
    """Return where each of `size` distinct rows occurs first, int64 [size]."""
    positions = torch.arange(len(inverse))
    beyond = positions.new_full((size,), len(inverse))
    return beyond.scatter_reduce_(0, inverse, positions, "amin")
