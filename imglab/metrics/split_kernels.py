"""The kernel distances of many splits of one pool, from one look at each pair of the pool."""

from __future__ import annotations

import torch
from torch import Tensor

from imglab.metrics.kernel import KernelMatrix
from imglab.metrics.points import Points
from imglab.metrics.split_parts import SplitParts
from imglab.metrics.strips import StripSums
from imglab.metrics.tiles import Tile


class SplitKernels(KernelMatrix):
    """Adds up the kernel within and between the parts of all splits; a consumer of `tiles`.

    It takes the tiles on and above the diagonal of the pool with itself. A tile's sums are products
    with the membership of its samples, in the precision of its kernel, less the level that all
    pairs have in common, which leaves the distance of every split by itself.
    """

    def __init__(self, points: Points, parts: SplitParts) -> None:
        super().__init__(points, points)
        self.points = points
        self._parts = parts
        self._sums = StripSums()

    @property
    def distances(self) -> Tensor:
        """The unbiased MMD^2 of each split, float64 [S]."""
        n = self._parts.n
        m = self._parts.m
        within, within_synthetic, cross = self._sums.total.view(3, -1)
        value: Tensor = within / (n * (n - 1)) + within_synthetic / (m * (m - 1))
        value -= 2 * cross / (n * m)
        return value

    def add(self, tile: Tile) -> None:  # noqa: D102
        kernel = self.above_level(tile)
        if tile.is_diagonal:
            kernel.fill_diagonal_(0)
        rows = self._parts.columns(tile.rows, kernel.dtype)  # [B, 2 S]
        sums = kernel @ self._parts.columns(tile.columns, kernel.dtype)  # [B, 2 S]

        count = len(self._parts)
        within = (rows * sums).sum(0, dtype=torch.float64)
        cross = (rows[:, :count] * sums[:, count:]).sum(0, dtype=torch.float64)
        if not tile.is_diagonal:
            within *= 2  # the mirror image counts, too
            cross += (rows[:, count:] * sums[:, :count]).sum(0, dtype=torch.float64)
        self._sums.add(tile, torch.cat([within, cross]))

    def gather(self) -> None:  # noqa: D102
        self._sums.gather()
