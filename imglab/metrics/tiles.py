"""Tiles of the inner products between two feature sets: the one pass that all metrics look at.

Products are taken tile by tile in one precision (`Points.dtype`), on the accelerator where there
is one, with a bound on the error of the distances that follow from them. A comparison that the
bound leaves open is decided again from the float64 difference of the two rows. So decisions are
those of exact float64 distances, ties included, whatever the size of a tile. Equal rows are at
distance exactly 0.

Whoever wants something of all pairs is a `Consumer`: it is shown each tile once, beside the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Protocol

import torch
from torch import Tensor

from imglab.metrics import strips
from imglab.metrics.points import Points, squared_distances

TILE = 512
"""Rows and columns of a tile, which stays in a core's cache while all consumers look at it."""

BLOCK = 4
"""Tiles in a row or column whose feature rows are moved into their frame together."""

TERMS = 512
"""Terms of a product that are summed in one go: short sums have the tighter bound."""


@dataclass(frozen=True)
class Tile:
    """Inner products of B distinct rows of `points` with C of `others`, seen in their frame.

    rows, columns  which rows of `points` and of `others`
    products       the inner products, [B, C]
    lengths        the sum of the two squared lengths, [B, C]
    """

    points: Points
    others: Points
    rows: slice
    columns: slice
    products: Tensor
    lengths: Tensor

    @property
    def is_diagonal(self) -> bool:
        """Whether it compares rows of one set with themselves."""
        return self.points is self.others and self.rows == self.columns

    @property
    def magnitude(self) -> Tensor:
        """What the error bound of the distances is a share of, [B, C]."""
        return self.lengths

    @cached_property
    def distances(self) -> Tensor:
        """The squared distances |a|^2 + |b|^2 - 2 a . b, as far as they can be had so, [B, C]."""
        return torch.add(self.lengths, self.products, alpha=-2)

    @cached_property
    def at_least(self) -> Tensor:
        """A lower bound of each squared distance, [B, C]."""
        return torch.add(self.distances, self.magnitude, alpha=-error_bound(self.points))

    @cached_property
    def at_most(self) -> Tensor:
        """An upper bound of each squared distance, [B, C]."""
        return torch.add(self.distances, self.magnitude, alpha=error_bound(self.points))

    def exact(self, i: Tensor, j: Tensor) -> Tensor:
        """Return the exact values of pairs (i, j) of the tile, int64 [P] each; float64 [P]."""
        return squared_distances(
            self.points, i + self.rows.start, self.others, j + self.columns.start
        )


class Consumer(Protocol):
    """Takes what it needs from each tile; it may not change the tile's tensors."""

    def add(self, tile: Tile) -> None:  # noqa: D102
        ...

    def gather(self) -> None:
        """Join what all processes have added, where they share out the strips of rows."""


def sweep(tiles_of_pair: Iterable[Tile], consumers: Iterable[Consumer]) -> None:
    """Show each tile to every consumer.

    Within `strips.shared` each process shows the tiles of its own strips, and all have the results.
    """
    consumers = list(consumers)
    for tile in tiles_of_pair:
        for consumer in consumers:
            consumer.add(tile)

    if strips.processes() > 1:
        for consumer in consumers:
            consumer.gather()


def tiles(points: Points, others: Points, *, half: bool = False) -> Iterator[Tile]:
    """Yield the tiles of `points` times `others`.

    half  `others` is `points`: yield only the tiles on and above the diagonal
    """
    for first in starts_of_blocks(len(points)):
        yield from tiles_of_block(points, others, first, half=half)


def starts_of_blocks(rows: int) -> range:
    """Return the first row of each block of so many rows."""
    return range(0, rows, BLOCK * TILE)


def tiles_of_block(
    points: Points, others: Points, first: int, *, half: bool = False
) -> Iterator[Tile]:
    """Yield those of the tiles whose rows are `first` and the `BLOCK * TILE - 1` after it."""
    block = BLOCK * TILE
    of_points = points.part(slice(first, min(first + block, len(points))))
    a, a_squares = of_points  # [B, D], [B]

    first_column = 0
    if half:
        first_column = first
    for j in range(first_column, len(others), block):
        of_others = of_points
        if not half or first != j:
            of_others = others.part(slice(j, min(j + block, len(others))))
        b, b_squares = of_others  # [C, D], [C]
        for row, column in _blocks(first, len(a), len(b), half=half and first == j):
            products = _products(a[row], b[column])
            lengths = a_squares[row, None] + b_squares[column]
            yield Tile(points, others, _from(first, row), _from(j, column), products, lengths)


def _blocks(first: int, rows: int, columns: int, *, half: bool) -> Iterator[tuple[slice, slice]]:
    """Yield the rows and columns of the tiles of a block, of the strips that this process takes.

    first  the block's first row
    half   leave out the tiles below its diagonal
    """
    for row in range(0, rows, TILE):
        if not strips.is_taken((first + row) // TILE):
            continue
        first_column = row * half
        for column in range(first_column, columns, TILE):
            yield slice(row, min(row + TILE, rows)), slice(column, min(column + TILE, columns))


def _from(start: int, part: slice) -> slice:
    return slice(start + part.start, start + part.stop)


def _products(a: Tensor, b: Tensor) -> Tensor:
    """Return the inner products of rows, [B, C]; on an accelerator they are taken in float64."""
    device = _accelerator()
    if device is not None and a.numel() > 2**16:
        # In float64, since float32 may stand for fewer bits there (TF32).
        exact: Tensor = a.to(device, torch.float64) @ b.to(device, torch.float64).T
        return exact.to(a.dtype).cpu()

    parts = zip(a.split(TERMS, 1), b.split(TERMS, 1), strict=True)
    first, first_other = next(parts)
    products: Tensor = first @ first_other.T
    for a_terms, b_terms in parts:
        products.addmm_(a_terms, b_terms.T)
    return products


@cache
def _accelerator() -> torch.device | None:
    """Return the device that takes the products; None: the processor does."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return None


def error_bound(points: Points) -> float:
    """Return a bound on the error of a squared distance, over the sum of the two squared lengths.

    A sum of n products errs by at most n u |a| |b| <= n u (|a|^2 + |b|^2) / 2 (Higham 2002,
    section 3.1), and the distance holds it twice. Moving and rounding the rows, adding up the
    parts and the bound itself cost a few u more, and the running sum of `squared_distances` one
    for each dimension, in float64.
    """
    width = points.rows.shape[1]
    parts = -(-width // TERMS)
    units = min(width, TERMS) + 4 * parts + 24
    of_sum = width * torch.finfo(torch.float64).eps
    return units * torch.finfo(points.dtype).eps / 2 + of_sum


def is_inside(tile: Tile, ball: Tensor) -> Tensor:
    """Decide exactly which pairs of a tile are inside a closed ball, bool [B, C].

    ball  its squared radius, float64 [B, 1] or [1, C]
    """
    rounded = ball.to(tile.lengths.dtype)
    inside = tile.at_most <= rounded
    may_be_inside = tile.at_least <= rounded

    # The bounds leave some pairs open: decide them by their exact distances.
    i, j = (inside ^ may_be_inside).nonzero(as_tuple=True)
    if len(i):
        inside[i, j] = tile.exact(i, j) <= ball.expand(inside.shape)[i, j]
    return inside


def is_any_inside(tile: Tile, ball: Tensor, dim: int) -> Tensor:
    """Decide exactly which rows (dim 1) or columns (dim 0) have a pair inside a closed ball.

    ball  its squared radius, float64 [B, 1] or [1, C]

    It is `is_inside(tile, ball).any(dim)`, bool [B] or [C], in a third of the time.
    """
    rounded = ball.to(tile.lengths.dtype)
    inside = (tile.at_most - rounded).amin(dim) <= 0
    margin = tile.at_least - rounded
    is_open = (margin.amin(dim) <= 0) & ~inside

    # In rows where the bounds decide nothing, look at the exact distances of the pairs left open.
    if bool(is_open.any()):
        chosen = is_open.nonzero().flatten()
        i, j = (margin.index_select(1 - dim, chosen) <= 0).nonzero(as_tuple=True)
        if dim == 1:
            i = chosen[i]
        else:
            j = chosen[j]
        is_within = tile.exact(i, j) <= ball.expand(margin.shape)[i, j]
        inside[(i, j)[1 - dim][is_within]] = True
    return inside
