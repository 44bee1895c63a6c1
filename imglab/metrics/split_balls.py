"""Who lies in whose k-NN ball in many splits of one pool, from lists of its neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from imglab.metrics.bounded import BoundedPR, bound_of_radii
from imglab.metrics.neighbour_lists import NeighbourLists
from imglab.metrics.prdc import Balls
from imglab.metrics.probabilistic import STRETCH, K
from imglab.metrics.split_parts import REAL, SYNTHETIC, SplitParts

BATCH = 25
"""Splits that are looked at together."""


class SplitBalls(NamedTuple):
    """What the balls of one split say.

    balls    who lies in whose ball
    bounded  precision and recall by cut balls
    support  the radii of probabilistic precision and recall, in the scale of the frame: that of the
             real set and that of the synthetic one
    """

    balls: Balls
    bounded: BoundedPR
    support: tuple[float, float]


def balls_of_splits(
    lists: NeighbourLists, parts: SplitParts, *, precision_recall_k: int, density_coverage_k: int
) -> Iterator[SplitBalls]:
    """Yield what the balls of each split say: what `OnePass` decides, each comparison exactly."""
    for batch in parts.batches(BATCH):
        radii = lists.radii(batch.member, (precision_recall_k, density_coverage_k, K))
        yield from _Decided(lists, batch, *radii).splits()


class _Decided:
    """The comparisons of b splits, decided together.

    narrow, wide, support  squared radii, float64 [P, b]
    """

    def __init__(
        self,
        lists: NeighbourLists,
        parts: SplitParts,
        narrow: Tensor,
        wide: Tensor,
        support: Tensor,
    ) -> None:
        self._parts = parts
        self._wide = wide
        self._support = support
        is_real = parts.member == REAL
        limits = [bound_of_radii(narrow[is_real[:, s], s]) for s in range(len(parts))]
        bounded = narrow.minimum(torch.tensor(limits, dtype=torch.float64))
        wide_of_real = wide.masked_fill(~is_real, -1)

        # Flags lie in one row, so that a pair has one position.
        shape = parts.member.shape
        size = parts.member.numel()
        narrow_hit = torch.zeros(size, dtype=torch.bool)
        bounded_hit = torch.zeros(size, dtype=torch.bool)
        covered = torch.zeros(size, dtype=torch.bool)
        around = torch.zeros(size, dtype=torch.int64)
        for centre, inside, split, squared in lists.in_balls(
            parts.member, narrow.maximum(wide_of_real)
        ):
            ball = centre * shape[1] + split
            hit = inside * shape[1] + split
            narrow_hit[hit[squared <= narrow.view(-1)[ball]]] = True
            bounded_hit[hit[squared <= bounded.view(-1)[ball]]] = True
            is_wide = squared <= wide_of_real.view(-1)[ball]
            covered[ball[is_wide]] = True
            around.index_add_(0, hit[is_wide], torch.ones_like(hit[is_wide]))

        self._narrow_hit = narrow_hit.view(shape)
        self._bounded_hit = bounded_hit.view(shape)
        self._covered = covered.view(shape)
        self._around = around.view(shape)

    def splits(self) -> Iterator[SplitBalls]:
        """Yield what was decided, split by split."""
        for column, (real, synthetic) in enumerate(self._parts):
            hit = self._narrow_hit[:, column]
            bounded = self._bounded_hit[:, column]
            balls = Balls(
                hit[synthetic],
                self._around[synthetic, column],
                hit[real],
                self._covered[real, column],
                self._wide[real, column],
            )
            precision = float(bounded[synthetic].double().mean())
            recall = float(bounded[real].double().mean())
            support = self._support[:, column].sqrt()
            member = self._parts.member[:, column]
            radii = [STRETCH * float(support[member == each].mean()) for each in (REAL, SYNTHETIC)]
            yield SplitBalls(balls, BoundedPR(precision, recall), (radii[0], radii[1]))
