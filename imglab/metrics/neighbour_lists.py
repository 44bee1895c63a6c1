"""The nearest neighbours of each sample of a pool, of which each split of it finds its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import comb
from typing import NamedTuple

import torch
from torch import Tensor

from imglab.metrics.neighbours import SPARE, Candidates
from imglab.metrics.points import EveryRow, squared_distances

ROWS = 256
"""Samples whose lists are looked at together."""

LONGEST = 256
"""Neighbours that are listed at most."""

WHOLE = 128
"""Samples whose distances to all others are kept."""


def length_of_lists(k: int, share: float, asked: int) -> int:
    """Return how many neighbours hold k of a part, all but once in `asked` lists.

    share  of the pool that is in the part
    """
    length = k
    while length < LONGEST:
        fewer = sum(
            comb(length, few) * share**few * (1 - share) ** (length - few) for few in range(k)
        )
        if fewer * asked <= 1:
            break
        length += 1
    return length


class InBall(NamedTuple):
    """Pairs of a sample and one of the other part near it, int64 [Q] each, in some split.

    centre, inside  the two samples
    split           the split
    squared         their squared distance, float64 [Q]
    """

    centre: Tensor
    inside: Tensor
    split: Tensor
    squared: Tensor


@dataclass
class NeighbourLists:
    """The L nearest other samples of each of P samples, nearest first, by exact distances.

    index    int32 [P, L]
    squared  squared distances in the scale of the frame, float64 [P, L]
    reach    a sample that is not in a list is at least as far, float64 [P]
    """

    points: EveryRow
    index: Tensor
    squared: Tensor
    reach: Tensor
    _whole: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @classmethod
    def of(cls, points: EveryRow, candidates: Candidates) -> NeighbourLists:
        """Order the candidates by their exact distances, the last few left out."""
        squared, order = candidates.distances(points, points).sort(dim=1, stable=True)
        reach = candidates.at_least[:, -1].double()
        if candidates.index.shape[1] == len(points) - 1:
            reach = torch.full_like(reach, torch.inf)
        index = candidates.index.gather(1, order).to(torch.int32)
        return cls(points, index, squared, reach)

    def radii(self, member: Tensor, ks: tuple[int, ...]) -> Tensor:
        """Return each sample's squared distance to the k-th nearest other one of its part.

        member  the part of each sample in each of b splits, uint8 [P, b]

        It is NaN for a sample of neither part; the result is float64 [len(ks), P, b].
        """
        radii = torch.full((len(ks), *member.shape), torch.nan, dtype=torch.float64)
        for rows in self._blocks():
            part = member[rows]
            near = member[self.index[rows].long()]  # [B, L, b]
            counts = (near == part[:, None]).cumsum(1, dtype=torch.int16)
            for number, k in enumerate(ks):
                place = (counts < k).sum(1).clamp_(max=near.shape[1] - 1)
                radii[number, rows] = self.squared[rows].gather(1, place)
            is_open = counts[:, -1] < max(ks)
            is_open |= (radii[:, rows] > self.reach[rows, None]).any(0)
            radii[:, rows].masked_fill_(part == 0, torch.nan)

            i, split = (is_open & (part > 0)).nonzero(as_tuple=True)
            for row, column in zip((i + rows.start).tolist(), split.tolist(), strict=True):
                index, squared = self._all_of(row)
                of_part = squared[member[index, column] == member[row, column]]
                radii[:, row, column] = of_part[[k - 1 for k in ks]]
        return radii

    def in_balls(self, member: Tensor, radii: Tensor) -> Iterator[InBall]:
        """Yield who of the other part lies in the closed ball around each sample.

        member  as in `radii`
        radii   squared, float64 [P, b]; NaN: no ball
        """
        for rows in self._blocks():
            radius = radii[rows]
            is_open = radius >= self.reach[rows, None]
            near = member[self.index[rows].long()]  # [B, L, b]
            is_inside = self.squared[rows, :, None] <= radius.masked_fill(is_open, -1)[:, None]
            is_inside &= near == 3 - member[rows][:, None]
            i, place, split = is_inside.nonzero(as_tuple=True)
            inside = self.index[rows][i, place].long()
            yield InBall(i + rows.start, inside, split, self.squared[rows][i, place])

            i, split = is_open.nonzero(as_tuple=True)
            for row, column in zip((i + rows.start).tolist(), split.tolist(), strict=True):
                index, squared = self._all_of(row)
                chosen = squared <= radii[row, column]
                chosen &= member[index, column] == 3 - member[row, column]
                inside = index[chosen]
                centre = torch.full_like(inside, row)
                yield InBall(centre, inside, torch.full_like(inside, column), squared[chosen])

    def _blocks(self) -> Iterator[slice]:
        for start in range(0, len(self.index), ROWS):
            yield slice(start, min(start + ROWS, len(self.index)))

    def _all_of(self, row: int) -> tuple[Tensor, Tensor]:
        """Return all other samples by their distance, nearest first, and the squared distances."""
        if row not in self._whole:
            if len(self._whole) == WHOLE:
                del self._whole[next(iter(self._whole))]
            everyone = torch.arange(len(self.points))
            others = everyone[everyone != row]
            rows = torch.full_like(others, row)
            squared = squared_distances(self.points, rows, self.points, others)
            squared, order = squared.sort(stable=True)
            self._whole[row] = others[order], squared
        return self._whole[row]


def candidates_for(points: EveryRow, length: int) -> Candidates:
    """Return a consumer of the tiles of the pool with itself that finds lists of this length."""
    size = min(length + SPARE, len(points) - 1)
    return Candidates.none(len(points), size, points.dtype)
