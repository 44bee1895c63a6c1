"""Neighbour distances of large sets, in little memory and without rounding errors in any decision.

Products are taken tile by tile in the features' own precision (float32 is twice as fast as
float64), with a bound on their error. A comparison that the bound leaves open is decided again
from the float64 difference of the two rows. So the answers are those of exact float64 distances,
ties included, whatever the size of a tile. Equal rows are at distance exactly 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from imglab.metrics.points import Points, squared_distances

TILE = 2048
"""Rows and columns of a tile."""

TERMS = 512
"""Terms of a product that are summed in one go: short sums have the tighter bound."""

SPARE = 5
"""Candidates beyond the k asked for, which make it rare that a row is compared with all others."""


@dataclass(frozen=True)
class Tile:
    """Squared distances of B distinct rows of `points` to C of `others`, [B, C].

    rows, columns  which rows of `points` and of `others`
    at_least       a lower bound of each distance
    lengths        the sum of the two squared lengths, to which the error is proportional
    """

    points: Points
    others: Points
    rows: slice
    columns: slice
    at_least: Tensor
    lengths: Tensor

    @cached_property
    def at_most(self) -> Tensor:
        """An upper bound of each distance, [B, C]."""
        return torch.add(self.at_least, self.lengths, alpha=2 * error_bound(self.points))

    def exact(self, i: Tensor, j: Tensor) -> Tensor:
        """Return the exact values of pairs (i, j) of the tile, int64 [P] each; float64 [P]."""
        return squared_distances(
            self.points, i + self.rows.start, self.others, j + self.columns.start
        )


def tiles(points: Points, others: Points, *, half: bool = False) -> Iterator[Tile]:
    """Yield the squared distances of `points` to `others`.

    half  `others` is `points`: yield only the tiles on and above the diagonal
    """
    error = error_bound(points)

    for i in range(0, len(points), TILE):
        rows = slice(i, min(i + TILE, len(points)))
        a, a_squares = points.part(rows)  # [B, D], [B]

        first_column = 0
        if half:
            first_column = i
        for j in range(first_column, len(others), TILE):
            columns = slice(j, min(j + TILE, len(others)))
            b, b_squares = others.part(columns)  # [C, D], [C]

            # |a - b|^2 = |a|^2 + |b|^2 - 2 a . b, less the bound on its error.
            lengths = a_squares[:, None] + b_squares  # [B, C]
            distances = lengths.clone()
            for a_terms, b_terms in zip(a.split(TERMS, 1), b.split(TERMS, 1), strict=True):
                distances.addmm_(a_terms, b_terms.T, alpha=-2)
            distances.add_(lengths, alpha=-error)

            yield Tile(points, others, rows, columns, distances, lengths)


def error_bound(points: Points) -> float:
    """Return a bound on the error of a squared distance, over the sum of the two squared lengths.

    A sum of n products errs by at most n u |a| |b| <= n u (|a|^2 + |b|^2) / 2 (Higham 2002,
    section 3.1), and the distance holds it twice. Moving and rounding the rows and adding up the
    parts cost a few u more.
    """
    width = points.rows.shape[1]
    parts = -(-width // TERMS)
    units = min(width, TERMS) + 4 * parts + 16
    return units * torch.finfo(points.rows.dtype).eps / 2


def kth_squared_distance(points: Points, ks: tuple[int, ...]) -> Tensor:
    """Return each distinct row's squared distance to its k-th nearest other sample.

    Equal rows count as often as they occur. Every k must be below N. The result is float64
    [len(ks), M].
    """
    size = min(max(ks) + SPARE, len(points) - 1)
    candidates = _nearest_others(points, size)
    distances = candidates.distances(points, points)  # [M, size]
    radii = _radii(distances, points.weight[candidates.index], points.weight, ks)
    if size == len(points) - 1:
        return radii

    # Where a radius exceeds the last candidate's lower bound, a row that is not a candidate may be
    # nearer: compare with all.
    everyone = torch.arange(len(points))
    is_open = radii.amax(0) > candidates.at_least[:, -1]
    for row in is_open.nonzero().flatten().tolist():
        others = everyone[everyone != row]
        distances = squared_distances(points, torch.full_like(others, row), points, others)

        weights = points.weight[others]
        repeats = points.weight[row : row + 1]
        radii[:, row] = _radii(distances[None], weights[None], repeats, ks)[:, 0]
    return radii


def nearest_squared_distance(points: Points, others: Points) -> Tensor:
    """Return each distinct row's squared distance to the nearest row of `others`, float64 [M]."""
    size = min(1 + SPARE, len(others))
    candidates = _Candidates.none(len(points), size, points.rows.dtype)
    for tile in tiles(points, others):
        candidates.add(tile.rows, tile.at_least, tile.columns.start)
    nearest = candidates.distances(points, others).amin(1)  # [M]
    if size == len(others):
        return nearest

    # As above, compare with all where a row that is not a candidate may be nearer.
    everyone = torch.arange(len(others))
    is_open = nearest > candidates.at_least[:, -1]
    for row in is_open.nonzero().flatten().tolist():
        distances = squared_distances(points, torch.full_like(everyone, row), others, everyone)
        nearest[row] = distances.min()
    return nearest


def _radii(distances: Tensor, weights: Tensor, repeats: Tensor, ks: tuple[int, ...]) -> Tensor:
    """Return the squared distance at which each row has its k-th other sample, [len(ks), M].

    distances  of each row to its candidates, exact, [M, K]
    weights    how often each candidate occurs, [M, K]
    repeats    how often the row itself occurs, [M]: its repeats are at distance 0
    """
    ordered, order = distances.sort(1)
    zeros = torch.zeros(len(repeats), 1, dtype=torch.float64)
    steps = torch.cat([zeros, ordered], 1)  # [M, 1 + K]

    # How many other samples a ball of each of these radii holds.
    counts = torch.cat([repeats[:, None], weights.gather(1, order)], 1)
    reached = counts.cumsum(1) - 1  # [M, 1 + K]

    radii = []
    for k in ks:
        step = (reached < k).sum(1, keepdim=True)  # the first that reaches k, [M, 1]
        radii.append(steps.gather(1, step).squeeze(1))
    return torch.stack(radii)


@dataclass
class _Candidates:
    """For each row the `size` rows with the smallest lower bounds of their distances.

    at_least  the lower bounds, ascending, [M, size]
    index     whose they are, int64 [M, size]
    """

    at_least: Tensor
    index: Tensor

    @classmethod
    def none(cls, rows: int, size: int, dtype: torch.dtype) -> _Candidates:
        """Begin without any."""
        at_least = torch.full((rows, size), torch.inf, dtype=dtype)
        return cls(at_least, torch.zeros(rows, size, dtype=torch.int64))

    def add(self, rows: slice, at_least: Tensor, first: int) -> None:
        """Take in the lower bounds of these rows' distances to rows `first` and on, [B, C]."""
        size = self.at_least.shape[1]
        smallest, column = at_least.topk(min(size, at_least.shape[1]), largest=False)

        bounds = torch.cat([self.at_least[rows], smallest], 1)
        index = torch.cat([self.index[rows], column + first], 1)
        self.at_least[rows], order = bounds.topk(size, largest=False)
        self.index[rows] = index.gather(1, order)

    def distances(self, points: Points, others: Points) -> Tensor:
        """Return the exact squared distances of `points` to their candidates, float64 [M, size]."""
        rows = torch.arange(len(points))[:, None].expand_as(self.index)
        flat = squared_distances(points, rows.reshape(-1), others, self.index.reshape(-1))
        return flat.view(self.index.shape)


def _nearest_others(points: Points, size: int) -> _Candidates:
    """Return the candidates among the other distinct rows of the same set."""
    candidates = _Candidates.none(len(points), size, points.rows.dtype)
    for tile in tiles(points, points, half=True):
        if tile.rows == tile.columns:
            tile.at_least.fill_diagonal_(torch.inf)
        else:
            candidates.add(tile.columns, tile.at_least.T, tile.rows.start)
        candidates.add(tile.rows, tile.at_least, tile.columns.start)
    return candidates
