"""The metrics between the parts of many splits of a pool that is too large to keep its distances.

Each pair of the pool is looked at for all splits at once: for lists of neighbours and the kernel,
for what lies within the radii that follow from the lists, for the kernel of standardised features,
and for the Fréchet distance to second order. Features are standardised by the whole pool, which is
what real data there are: by the real part, each split would need products of its own.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from imglab.metrics import strips
from imglab.metrics.comparison import BETWEEN_SPLITS, MetricValues, withhold_recall
from imglab.metrics.frechet import mean_and_variance
from imglab.metrics.neighbour_lists import (
    LONGEST,
    NeighbourLists,
    candidates_for,
    length_of_lists,
)
from imglab.metrics.points import EveryRow, Frame, Points, precision
from imglab.metrics.prdc import PRDC, prdc_of
from imglab.metrics.probabilistic import K
from imglab.metrics.split_balls import SplitBalls, balls_of_splits
from imglab.metrics.split_gaussians import WHOLE, SplitGaussians
from imglab.metrics.split_kernels import SplitKernels
from imglab.metrics.split_parts import SplitParts
from imglab.metrics.split_support import SplitSupport
from imglab.metrics.standard import Standard, StandardPoints
from imglab.metrics.tails import TENTHS, tails_of
from imglab.metrics.tiles import Consumer, starts_of_blocks, sweep, tiles, tiles_of_block

PASSES = 4
"""Looks at all pairs of the pool."""


class LargePool:
    """Features of P real samples, float [P, D], and splits of them whose pairs are looked at."""

    def __init__(self, pool: Tensor, parts: SplitParts, ks: Mapping[str, int]) -> None:
        self._pool = pool
        self._parts = parts
        self._ks = ks
        dtype = precision(pool)
        rows = pool.to(dtype)
        self._standard = Standard.of(*mean_and_variance(pool))
        self._points = EveryRow(rows, Frame.of(rows, mean=self._standard.mean), dtype)

    @staticmethod
    def fits(size: int, n: int, m: int, ks: Mapping[str, int]) -> bool:
        """Say whether splits of a pool of `size` into n and m have all metrics, by short lists."""
        fewest = min(n, m)
        most = max(*ks.values(), K)
        if fewest <= most or n < TENTHS:
            return False
        return length_of_lists(most, fewest / size, size) < LONGEST

    @staticmethod
    def steps(size: int) -> int:
        """Return how often `scores` yields None, before the scores of the first split."""
        return PASSES * len(starts_of_blocks(size))

    def scores(self, whole: int = WHOLE) -> Iterator[dict[str, Any] | None]:
        """Yield None between blocks of pairs, then the metrics of each split.

        whole  splits whose Fréchet distance and Vendi score are not estimated
        """
        of_pairs = yield from self._of_pairs()
        gaussians = SplitGaussians(self._pool, self._parts, whole=whole)
        numbers = iter(of_pairs)
        for of_gaussians in gaussians.scores():
            if of_gaussians is None:
                yield None
                continue
            values = next(numbers) | of_gaussians
            yield {name: values[name] for name in BETWEEN_SPLITS}

    def _of_pairs(self) -> Generator[None, None, list[dict[str, Any]]]:
        """Return the metrics of each split that come from its pairs."""
        share = min(self._parts.n, self._parts.m) / len(self._pool)
        length = length_of_lists(max(*self._ks.values(), K), share, self._parts.member.numel())
        candidates = candidates_for(self._points, length)
        kernels = SplitKernels(self._points, self._parts)
        yield from _look(self._points, [candidates, kernels])
        lists = NeighbourLists.of(self._points, candidates)
        del candidates

        values = []
        radii = []
        for split in balls_of_splits(lists, self._parts, **self._ks):
            values.append(self._of_balls(split))
            radii.append(split.support)
        del lists

        support = SplitSupport(self._points, self._parts, torch.tensor(radii, dtype=torch.float64))
        yield from support.passes()
        of_support = support.scores
        del support
        standardised = SplitKernels(StandardPoints(self._points, self._standard), self._parts)
        yield from _look(standardised.points, [standardised])

        kid = self._distances(kernels, None)
        kid_standard = self._distances(standardised, self._standard)
        for each, pair, *distances in zip(values, of_support, kid, kid_standard, strict=True):
            each["precision_probabilistic"] = pair.precision
            each["recall_probabilistic"] = pair.recall
            each["kid"], each["kid_standard"] = distances
        return values

    def _of_balls(self, split: SplitBalls) -> dict[str, Any]:
        """Return the metrics of one split that come from its balls."""
        scores = MetricValues()
        of_balls = prdc_of(split.balls, self._ks["density_coverage_k"])
        scores.add(PRDC._fields[:4], lambda: of_balls[:4])
        scores.add(("recall_by_decile", "coverage_by_decile"), lambda: tails_of(split.balls))
        scores.add(("precision_bounded", "recall_bounded"), lambda: split.bounded)
        withhold_recall(scores)
        return scores.values

    def _distances(self, kernels: SplitKernels, standard: Standard | None) -> list[float]:
        """Return the kernel distances; in float64 if the kernel has left float32."""
        distances = kernels.distances
        if not bool(distances.isfinite().all()) and self._points.dtype == torch.float32:
            rows = self._pool.double()
            points: Points = EveryRow(rows, Frame.of(rows), torch.float64)
            if standard is not None:
                points = StandardPoints(points, standard)
            again = SplitKernels(points, self._parts)
            sweep(tiles(points, points, half=True), [again])
            distances = again.distances
        values: list[float] = distances.tolist()
        return values


def _look(points: Points, consumers: list[Consumer]) -> Generator[None]:
    """Show the tiles of a pool with itself, on and above the diagonal, and stop in between."""
    for first in starts_of_blocks(len(points)):
        for tile in tiles_of_block(points, points, first, half=True):
            for consumer in consumers:
                consumer.add(tile)
        yield

    if strips.processes() > 1:
        for consumer in consumers:
            consumer.gather()
