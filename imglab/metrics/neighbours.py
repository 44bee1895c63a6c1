"""Neighbour distances of large sets, in little memory and without rounding errors in any decision.

Products are taken tile by tile in the features' own precision (float32 is twice as fast as float64), with a bound on
their error; a comparison that the bound leaves open is decided again from the float64 difference of the two rows. So
the answers are those of exact float64 distances whatever the tile, ties included; equal rows are at distance exactly 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

TILE = 2048
TERMS = 512
"""Terms of a product summed in one go: short sums have the tighter bound."""
PAIRS = 128
SMALLEST = 100
"""Sets whose largest value is below 2^-100 are scaled up no further: float32 ends soon after."""
SPARE = 5
"""Neighbours remembered beyond the k asked for, before a row has to be looked at whole."""


@dataclass(frozen=True)
class Frame:
    """Where the products are taken: around a centre, scaled by a power of two so that no square overflows."""

    centre: Tensor
    scale: float

    @classmethod
    def of(cls, *sets: Tensor) -> Frame:
        """Choose the frame for these sets."""
        largest = max(abs(float(bound)) for points in sets for bound in torch.aminmax(points))
        scale = 2.0 ** -max(-SMALLEST, math.frexp(largest)[1]) if largest else 1.0
        return cls((sets[0] * scale).mean(0), scale)


class Points:
    """The distinct rows of a feature matrix, seen in a frame; equal rows are looked at once.

    weight   how often each distinct row occurs, int64 [M]
    inverse  which distinct row each of the N rows is, int64 [N]
    """

    def __init__(self, rows: Tensor, frame: Frame) -> None:
        self.frame = frame
        self.rows = rows
        self.first, self.inverse, self.weight = _distinct(rows)
        self._squares = torch.cat(
            [self._moved(part).double().square_().sum(1) for part in self.first.split(PAIRS)]
        ).to(rows.dtype)

    def __len__(self) -> int:
        return len(self.first)

    def tile(self, start: int) -> tuple[Tensor, Tensor]:
        """Return distinct rows `start` on, moved into the frame, [B, D], and their squared lengths, [B]."""
        part = slice(start, start + TILE)
        return self._moved(self.first[part]), self._squares[part]

    def _moved(self, which: Tensor) -> Tensor:
        return self.rows[which].mul_(self.frame.scale).sub_(self.frame.centre)

    @property
    def slack(self) -> float:
        """Bound on the error of a squared distance, over the sum of the two squared lengths.

        A sum of n products errs by at most n u |a| |b| <= n u (|a|^2 + |b|^2) / 2 (Higham 2002, section 3.1), and the
        distance holds it twice; moving and rounding the rows and adding up the parts cost a few u more.
        """
        width = self.rows.shape[1]
        parts = -(-width // TERMS)
        return (min(width, TERMS) + 4 * parts + 16) * torch.finfo(self.rows.dtype).eps / 2


def in_one_frame(*sets: Tensor) -> list[Points]:
    """Return feature sets, float [N, D] each, seen in a frame of their own; float32 unless one is float64."""
    dtype = (
        torch.float64 if any(points.dtype == torch.float64 for points in sets) else torch.float32
    )
    cast = [points.to(dtype) for points in sets]
    frame = Frame.of(*cast)
    return [Points(points, frame) for points in cast]


def _distinct(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """First occurrence of each distinct row, which of them each row is, and how often each occurs."""
    words = rows.contiguous().view(torch.int32)
    odd = (
        2 * torch.randint(2**62, (words.shape[1],), generator=torch.Generator().manual_seed(0)) + 1
    )
    hashes = torch.cat([(part.long() * odd).sum(1) for part in words.split(PAIRS)])
    _, inverse, weight = torch.unique(hashes, return_inverse=True, return_counts=True)
    if not _same_rows(rows, inverse, weight):
        _, inverse, weight = torch.unique(rows, dim=0, return_inverse=True, return_counts=True)
    return _first(inverse, len(weight)), inverse, weight


def _same_rows(rows: Tensor, inverse: Tensor, weight: Tensor) -> bool:
    repeated = (weight[inverse] > 1).nonzero().flatten()
    first = _first(inverse, len(weight))
    return all(
        bool((rows[part] == rows[first[inverse[part]]]).all()) for part in repeated.split(PAIRS)
    )


def _first(inverse: Tensor, size: int) -> Tensor:
    latest = torch.arange(len(inverse))
    return latest.new_full((size,), len(inverse)).scatter_reduce_(0, inverse, latest, "amin")


def squared_distances(points: Points, i: Tensor, others: Points, j: Tensor) -> Tensor:
    """Return the squared distances of pairs (i, j) in the frame's scale, float64, from the rows' differences.

    The running sum makes each value independent of which other pairs are asked for.
    """
    out = torch.empty(len(i), dtype=torch.float64)
    a, b = points.first[i], others.first[j]
    for part in torch.arange(len(i)).split(PAIRS):
        difference = (
            points.rows[a[part]].double().sub_(others.rows[b[part]]).mul_(points.frame.scale)
        )
        out[part] = difference.square_().cumsum(1)[:, -1]
    return out


@dataclass(frozen=True)
class Tile:
    """Squared distances of some of `points` to some of `others`, [B, C]: bounds of all, exact values on request."""

    points: Points
    others: Points
    rows: slice
    columns: slice
    at_least: Tensor
    lengths: Tensor

    @cached_property
    def at_most(self) -> Tensor:
        """Upper bound of each."""
        return torch.add(self.at_least, self.lengths, alpha=2 * self.points.slack)

    def exact(self, i: Tensor, j: Tensor) -> Tensor:
        """Return the exact values of these pairs of the tile, float64."""
        return squared_distances(
            self.points, i + self.rows.start, self.others, j + self.columns.start
        )


def tiles(points: Points, others: Points, *, half: bool = False) -> Iterator[Tile]:
    """Yield the squared distances of `points` to `others`; `half`: of one set to itself, once for each pair."""
    for i in range(0, len(points), TILE):
        a, a_squares = points.tile(i)
        for j in range(i if half else 0, len(others), TILE):
            b, b_squares = (a, a_squares) if half and j == i else others.tile(j)
            lengths = a_squares[:, None] + b_squares
            distances = lengths.clone()
            for some, more in zip(a.split(TERMS, 1), b.split(TERMS, 1), strict=True):
                distances.addmm_(some, more.T, alpha=-2)
            distances.add_(lengths, alpha=-points.slack)
            yield Tile(
                points, others, slice(i, i + len(a)), slice(j, j + len(b)), distances, lengths
            )


def kth_squared_distance(points: Points, ks: tuple[int, ...]) -> Tensor:
    """Return each distinct row's squared distance to its k-th nearest other sample, float64 [len(ks), M].

    Equal rows count as often as they occur; every k must be below N.
    """
    remembered = min(max(ks) + SPARE, len(points) - 1)
    nearest = _nearest_others(points, remembered)
    near, who = nearest.bounds, nearest.who
    rows = torch.arange(len(points))[:, None].expand(-1, remembered)
    exact = squared_distances(points, rows.reshape(-1), points, who.reshape(-1)).view(
        len(points), remembered
    )
    radii = _radii(exact, points.weight[who], points.weight, ks)
    if remembered < len(points) - 1:
        everyone = torch.arange(len(points))
        for row in (radii.amax(0) > near[:, -1]).nonzero().flatten().tolist():
            others = everyone[everyone != row]
            whole = squared_distances(points, torch.full_like(others, row), points, others)
            radii[:, row] = _radii(
                whole[None], points.weight[others][None], points.weight[row : row + 1], ks
            )[:, 0]
    return radii


def nearest_squared_distance(points: Points, others: Points) -> Tensor:
    """Return each distinct row's squared distance to the nearest row of another set, float64 [M]."""
    remembered = min(1 + SPARE, len(others))
    near = _Nearest.none(len(points), remembered, points.rows.dtype)
    for tile in tiles(points, others):
        near.remember(tile.rows, tile.at_least, tile.columns.start)
    rows = torch.arange(len(points))[:, None].expand(-1, remembered)
    exact = (
        squared_distances(points, rows.reshape(-1), others, near.who.reshape(-1))
        .view(len(points), remembered)
        .amin(1)
    )
    if remembered < len(others):
        everyone = torch.arange(len(others))
        for row in (exact > near.bounds[:, -1]).nonzero().flatten().tolist():
            exact[row] = squared_distances(
                points, torch.full_like(everyone, row), others, everyone
            ).min()
    return exact


def _radii(distances: Tensor, weights: Tensor, own: Tensor, ks: tuple[int, ...]) -> Tensor:
    """Radii from neighbours' exact distances [M, K], their multiplicities [M, K] and the row's own [M]."""
    ordered, order = distances.sort(1)
    reached = torch.cat([own[:, None], weights.gather(1, order)], 1).cumsum(1) - 1
    ordered = torch.cat([torch.zeros(len(own), 1, dtype=torch.float64), ordered], 1)
    return torch.stack(
        [ordered.gather(1, (reached < k).sum(1, keepdim=True)).squeeze(1) for k in ks]
    )


@dataclass
class _Nearest:
    """Lower bounds of the k smallest squared distances of each row, ascending, and whose they are, [M, k]."""

    bounds: Tensor
    who: Tensor

    @classmethod
    def none(cls, rows: int, k: int, dtype: torch.dtype) -> _Nearest:
        return cls(
            torch.full((rows, k), torch.inf, dtype=dtype), torch.zeros(rows, k, dtype=torch.int64)
        )

    def remember(self, rows: slice, bounds: Tensor, first: int) -> None:
        """Take in bounds of these rows' distances to columns `first` and on."""
        k = self.bounds.shape[1]
        found, index = bounds.topk(min(k, bounds.shape[1]), largest=False)
        both, names = (
            torch.cat([self.bounds[rows], found], 1),
            torch.cat([self.who[rows], index + first], 1),
        )
        self.bounds[rows], order = both.topk(k, largest=False)
        self.who[rows] = names.gather(1, order)


def _nearest_others(points: Points, k: int) -> _Nearest:
    """Return the k nearest other distinct rows of each row."""
    near = _Nearest.none(len(points), k, points.rows.dtype)
    for tile in tiles(points, points, half=True):
        if tile.rows == tile.columns:
            tile.at_least.fill_diagonal_(torch.inf)
        else:
            near.remember(tile.columns, tile.at_least.T, tile.rows.start)
        near.remember(tile.rows, tile.at_least, tile.columns.start)
    return near
