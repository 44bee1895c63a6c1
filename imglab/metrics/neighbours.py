"""Neighbours in large sets, in little memory and without rounding errors in any decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from imglab import distributed
from imglab.metrics.points import Points, squared_distances
from imglab.metrics.tiles import Consumer, Tile, error_bound, sweep, tiles

SPARE = 5
"""Candidates beyond the k asked for, which make it rare that a row is compared with all others."""

GROUPS = 64
"""Groups of columns of a tile, whose minima say where its smallest values lie."""


def kth_squared_distance(
    points: Points, ks: tuple[int, ...], also: Sequence[Consumer] = ()
) -> Tensor:
    """Return each distinct row's squared distance to its k-th nearest other sample.

    also  who else looks at the same tiles, of which those below the diagonal are left out

    Equal rows count as often as they occur. Every k must be below N. It is fast for points that
    lie about the centre of their frame (`around_own_middle`). The result is float64 [len(ks), M].
    """
    size = min(max(ks) + SPARE, len(points) - 1)
    candidates = Candidates.none(len(points), size, points.dtype)
    sweep(tiles(points, points, half=True), [candidates, *also])
    weights = points.weight[candidates.index]
    at_least, at_most = candidates.bounds(points, points)  # [M, size]
    lowest = _radii(at_least, weights, points.weight, ks)
    highest = _radii(at_most, weights, points.weight, ks)
    may_decide = _may_be_within(at_least, at_most, lowest, highest)
    distances = candidates.exact_where(may_decide, at_least, points, points)  # [M, size]
    radii = _radii(distances, weights, points.weight, ks)
    if size == len(points) - 1:
        return radii

    # Where a radius exceeds the last candidate's lower bound, a row that is not a candidate may be
    # nearer: compare with all.
    everyone = torch.arange(len(points))
    is_open = radii.amax(0) > at_least[:, -1]
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
    candidates = Candidates.none(len(points), size, points.dtype)
    sweep(tiles(points, others), [candidates])
    at_least, at_most = candidates.bounds(points, others)  # [M, size]
    may_be_nearest = at_least <= at_most.amin(1, keepdim=True)
    nearest = candidates.exact_where(may_be_nearest, at_least, points, others).amin(1)  # [M]
    if size == len(others):
        return nearest

    # As above, compare with all where a row that is not a candidate may be nearer.
    everyone = torch.arange(len(others))
    is_open = nearest > at_least[:, -1]
    for row in is_open.nonzero().flatten().tolist():
        distances = squared_distances(points, torch.full_like(everyone, row), others, everyone)
        nearest[row] = distances.min()
    return nearest


def _may_be_within(at_least: Tensor, at_most: Tensor, lowest: Tensor, highest: Tensor) -> Tensor:
    """Say which candidates may lie in one of some ranges, bool [M, K].

    at_least, at_most  bounds of their distances, [M, K]
    lowest, highest    ends of the ranges, [R, M]

    The lower bounds of the others lie on the same side of each range as their distances.
    """
    within = torch.zeros_like(at_least, dtype=torch.bool)
    for low, high in zip(lowest, highest, strict=True):
        within |= (at_most >= low[:, None]) & (at_least <= high[:, None])
    return within


def _radii(distances: Tensor, weights: Tensor, repeats: Tensor, ks: tuple[int, ...]) -> Tensor:
    """Return the squared distance at which each row has its k-th other sample, [len(ks), M].

    distances  of each row to its candidates, float64 [M, K]
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


def _smallest(values: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the `size` smallest values of each row and their columns, [B, size], as `topk` does.

    They are looked for where groups of columns have the smallest minima, in half the time.
    """
    rows, columns = values.shape
    if columns % GROUPS or size >= GROUPS // 2:
        smallest, column = values.topk(size, largest=False)
        return smallest, column

    minima = values.reshape(rows, columns // GROUPS, GROUPS).amin(1)
    group = minima.topk(size, largest=False, sorted=False).indices  # [B, size]
    column = (group[:, :, None] + torch.arange(0, columns, GROUPS)).flatten(1)
    smallest, position = values.gather(1, column).topk(size, largest=False)
    return smallest, column.gather(1, position)


@dataclass
class Candidates:
    """For each row the `size` rows with the smallest lower bounds of their distances.

    at_least  the lower bounds, ascending, [M, size]
    index     whose they are, int64 [M, size]
    """

    at_least: Tensor
    index: Tensor

    @classmethod
    def none(cls, rows: int, size: int, dtype: torch.dtype) -> Candidates:
        """Begin without any."""
        at_least = torch.full((rows, size), torch.inf, dtype=dtype)
        return cls(at_least, torch.zeros(rows, size, dtype=torch.int64))

    def add(self, tile: Tile) -> None:
        """Take in a tile; one of a set with itself stands for its mirror image, too."""
        at_least = tile.at_least
        if tile.is_diagonal:
            at_least = at_least.clone().fill_diagonal_(torch.inf)
        elif tile.points is tile.others:
            self._take(tile.columns, at_least.T, tile.rows.start)
        self._take(tile.rows, at_least, tile.columns.start)

    def _take(self, rows: slice, at_least: Tensor, first: int) -> None:
        """Take in the lower bounds of these rows' distances to rows `first` and on, [B, C]."""
        size = self.at_least.shape[1]
        smallest, column = _smallest(at_least, min(size, at_least.shape[1]))

        bounds = torch.cat([self.at_least[rows], smallest], 1)
        index = torch.cat([self.index[rows], column + first], 1)
        self.at_least[rows], order = bounds.topk(size, largest=False)
        self.index[rows] = index.gather(1, order)

    def gather(self) -> None:
        """Take the candidates of all processes together."""
        of_processes = distributed.all_gather((self.at_least, self.index))
        at_least = torch.cat([bounds for bounds, _ in of_processes], 1)
        index = torch.cat([whose for _, whose in of_processes], 1)
        self.at_least, order = at_least.topk(self.at_least.shape[1], largest=False)
        self.index = index.gather(1, order)

    def bounds(self, points: Points, others: Points) -> tuple[Tensor, Tensor]:
        """Return the range of each squared distance of a candidate, float64 [M, size] twice.

        The ends lie apart by twice `error_bound`, and by a few roundings. Below the smallest normal
        number errors are no share of what is added up.
        """
        lengths = points.squares[:, None] + others.squares[self.index]
        numbers = torch.finfo(points.dtype)
        apart = (2 * error_bound(points) + 4 * numbers.eps) * lengths.double()

        smallest = 4 * points.rows.shape[1] * numbers.smallest_normal
        at_least = self.at_least.double() - smallest
        return at_least.clamp(min=0), at_least + apart + 2 * smallest

    def distances(self, points: Points, others: Points) -> Tensor:
        """Return the exact squared distances of `points` to their candidates, float64 [M, size]."""
        rows = torch.arange(len(points))[:, None].expand_as(self.index)
        flat = squared_distances(points, rows.reshape(-1), others, self.index.reshape(-1))
        return flat.view(self.index.shape)

    def exact_where(
        self, chosen: Tensor, at_least: Tensor, points: Points, others: Points
    ) -> Tensor:
        """Return the exact squared distances of chosen candidates, float64 [M, size].

        chosen    bool [M, size]
        at_least  lower bounds, which stand where none is chosen, float64 [M, size]
        """
        rows = chosen.nonzero()[:, 0]
        exact = squared_distances(points, rows, others, self.index[chosen])
        return at_least.masked_scatter(chosen, exact)
