"""Probabilistic precision and recall of many splits of one pool, from one look at its pairs.

A split's product over the other part of min(1, d / R) is the root of exp(sum of min(0, l - r)) with
l = log d^2 and r = log R^2. The radii of all splits are nearly alike. Pairs below the smallest of
them are summed for all splits by products with the membership, and only those between the
smallest and the largest are looked at split by split. A sample whose product is nothing in every
split is looked at no longer.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from imglab.metrics.points import EveryRow
from imglab.metrics.probabilistic import ProbabilisticPR, precise_distances
from imglab.metrics.split_parts import REAL, SYNTHETIC, SplitParts
from imglab.metrics.strips import RowValues
from imglab.metrics.tiles import Tile, starts_of_blocks, sweep, tiles

NOTHING = -50.0
"""Log of a squared product that counts as 0: the product is 1e-11."""

NEVER = -1e4
"""What stands for the log of 0."""

PAIRS = 1 << 12
"""Pairs that are looked at split by split at a time."""


class SplitSupport:
    """Multiplies up which samples of a pool support which, in all splits.

    points  the pool
    radii   of the real and of the synthetic part of each split, in the scale of the frame, [S, 2]
    """

    def __init__(self, points: EveryRow, parts: SplitParts, radii: Tensor) -> None:
        self._points = points
        self._parts = parts

        # A set whose radius is 0 supports its own samples and nothing else.
        smallest = torch.finfo(torch.float64).tiny
        logs = 2 * radii.clamp(min=smallest).log()
        self._levels = logs.clamp(min=NEVER / 2).T.reshape(-1)  # of real, then of synthetic, [2 S]
        self._sums = torch.zeros(parts.member.shape, dtype=torch.float64)

    def passes(self) -> Iterator[None]:
        """Look at the pairs, and stop in between."""
        size = len(self._points)
        everyone = torch.arange(size)
        open_rows = everyone
        for columns in everyone.split(starts_of_blocks(size).step):
            points = self._points.chosen(open_rows)
            block = _Block(self._parts, open_rows, columns, self._levels)
            sweep(tiles(points, self._points.chosen(columns)), [block])
            self._sums.index_add_(0, open_rows, block.sums.values)
            del block

            is_open = self._sums > NOTHING
            is_open &= self._parts.member > 0
            open_rows = is_open.any(1).nonzero().flatten()
            yield

    @property
    def scores(self) -> list[ProbabilisticPR]:
        """Precision and recall of each split."""
        scores = []
        for member, sums in zip(self._parts.member.T, self._sums.T, strict=True):
            product = (sums / 2).exp_().masked_fill_(sums <= NOTHING, 0)
            unsupported = product[member == SYNTHETIC].mean()
            missed = product[member == REAL].mean()
            scores.append(ProbabilisticPR(1 - float(unsupported), 1 - float(missed)))
        return scores


class _Block:
    """Adds up the logs of some rows with some columns, both samples of the pool."""

    def __init__(self, parts: SplitParts, rows: Tensor, columns: Tensor, levels: Tensor) -> None:
        self.sums = RowValues(torch.zeros(len(rows), len(parts), dtype=torch.float64))
        self._parts = parts
        self._rows = rows
        self._columns = columns
        self._levels = levels

        # As float32 has it, since its error would count once for each pair.
        below = torch.tensor(-torch.inf)
        self._lowest = float(levels.min().float().nextafter(below))
        self._highest = float(levels.max())

    def add(self, tile: Tile) -> None:
        """Take in a tile."""
        rows = self._rows[tile.rows]
        columns = self._columns[tile.columns]
        logs = precise_distances(tile).log().clamp_(min=NEVER)  # [B, C]
        self._add_below(tile, logs, rows, columns)

        between = (logs >= self._lowest) & (logs < self._highest)
        i, j = between.nonzero(as_tuple=True)
        sums = self.sums.of(tile)
        for some, others in zip(i.split(PAIRS), j.split(PAIRS), strict=True):
            values = self._between(logs[some, others].double(), rows[some], columns[others])
            sums.index_add_(0, some, values)

    def gather(self) -> None:
        """Take the rows of the other processes."""
        self.sums.gather()

    def _add_below(self, tile: Tile, logs: Tensor, rows: Tensor, columns: Tensor) -> None:
        """Add the pairs whose log is at most the lowest level."""
        below = (logs - self._lowest).clamp_(max=0)  # [B, C]
        if not bool((below < 0).any()):
            return
        parts = self._parts.columns(columns, logs.dtype)  # [C, 2 S]
        sums = (below @ parts).double()
        counts = ((below < 0).to(logs.dtype) @ parts).double()
        sums += counts * (self._lowest - self._levels)
        self.sums.of(tile).add_(self._of_other_part(sums, rows))

    def _between(self, logs: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Return what pairs, float64 [Q], add to the sums of their rows, [Q, S]."""
        count = len(self._parts)
        other = self._parts.member[columns]  # [Q, S]
        levels = torch.where(other == REAL, self._levels[:count], self._levels[count:])
        values = (logs[:, None] - levels).clamp_(max=0)
        return values.masked_fill_(other != 3 - self._parts.member[rows], 0)

    def _of_other_part(self, sums: Tensor, rows: Tensor) -> Tensor:
        """Choose from sums over the real and the synthetic samples, [B, 2 S], the other part's."""
        over_real, over_synthetic = sums.split(len(self._parts), 1)
        member = self._parts.member[rows]
        chosen = torch.where(member == REAL, over_synthetic, over_real)
        return chosen.masked_fill_(member == 0, 0)
