"""The Fréchet distances and Vendi scores of many splits of one pool.

Both need the eigenvalues of a matrix of all features. Of wide features that takes longer for each
split than all else. So only the first splits are computed as a whole, and the others to leading
order (`SplitExcess`), if that explains how the first ones differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from itertools import chain, islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

from imglab.metrics import strips
from imglab.metrics.comparison import FRECHET, MetricValues
from imglab.metrics.frechet import (
    ROWS,
    Coupling,
    Moments,
    distance_and_parts,
    frechet_and_parts,
    mean_and_variance,
)
from imglab.metrics.products import gram
from imglab.metrics.split_expansion import Offset, SplitExcess, log_vendi_of_splits
from imglab.metrics.split_parts import SplitParts
from imglab.metrics.tiles import starts_of_blocks
from imglab.metrics.undefined import Undefined
from imglab.metrics.vendi import entropy_of, unit_rows, vendi_score

WHOLE = 10
"""Splits that are computed as a whole, before the others are estimated."""

NARROW = 256
"""Features up to which all splits are computed as a whole: it takes no time."""


class Outcome(NamedTuple):
    """What was computed of one split.

    moments  |m1 - m2|^2, tr S1 and tr S2
    frechet  the Fréchet distance and its parts
    vendi    the Vendi score
    """

    moments: tuple[float, float, float]
    frechet: list[float] | None = None
    vendi: float | None = None


class SplitGaussians:
    """Fitted Gaussians of the parts of every split, and eigenvalues of their samples."""

    def __init__(self, pool: Tensor, parts: SplitParts, *, whole: int) -> None:
        """Take a pool, float [P, D]; `whole` splits are computed as a whole in any case."""
        self._pool = pool
        self._parts = parts
        self._centre = mean_and_variance(pool)[0]
        blocks = (part.double() - self._centre for part in pool.split(ROWS))
        self._squares = torch.cat([rows.square_().sum(1) for rows in blocks])

        # About equal samples nothing can be expanded.
        varies = bool(self._squares.sum() > 0)
        self._whole = min(whole, len(parts))
        if pool.shape[1] <= NARROW or not varies:
            self._whole = len(parts)
        self._means = self._means_of_parts()
        self._total = self._products(torch.arange(len(pool)))

    def scores(self) -> Iterator[dict[str, Any] | None]:
        """Yield None between blocks of pairs; then `vendi` and the Fréchet distance of each split.

        The latter comes with its parts.
        """
        numbers = iter(range(len(self._parts)))
        if self._whole == len(self._parts):
            for _ in starts_of_blocks(len(self._pool)):
                yield None
            for outcome in self._outcomes(numbers, frechet=True, vendi=True):
                yield _scores(outcome.frechet, outcome.vendi)
            return

        expansion = SplitExcess(self._pool, self._parts, self._centre, self._total)
        for _ in expansion.passes():
            yield None
        excesses = expansion.values.log().tolist()
        del expansion
        vendis = log_vendi_of_splits(self._pool, self._parts).tolist()
        yield from self._estimated(numbers, excesses, vendis)

    def _estimated(
        self, numbers: Iterator[int], excesses: list[float], vendis: list[float]
    ) -> Iterator[dict[str, Any]]:
        """Yield the scores of each split, most from the logs of what they are to leading order."""
        excess = Offset()
        vendi = Offset()
        first = islice(numbers, self._whole)
        outcomes = list(self._outcomes(first, frechet=True, vendi=True))
        for number, outcome in enumerate(outcomes):
            if outcome.frechet is not None:
                excess.add(excesses[number], _log(outcome.frechet[0] - outcome.moments[0]))
            if outcome.vendi is not None:
                vendi.add(vendis[number], _log(outcome.vendi))

        flags = {"frechet": not excess.is_trusted, "vendi": not vendi.is_trusted}
        rest = self._outcomes(numbers, **flags)
        for number, outcome in enumerate(chain(outcomes, rest)):
            frechet = outcome.frechet
            if frechet is None:
                mean, variance, other = outcome.moments
                root = (variance + other - math.exp(excess.estimate(excesses[number]))) / 2
                distance, of_distance = distance_and_parts(mean, variance, other, root)
                frechet = [distance, *of_distance]
            score = outcome.vendi
            if score is None and not flags["vendi"]:
                score = math.exp(vendi.estimate(vendis[number]))
            yield _scores(frechet, score)

    def _outcomes(self, numbers: Iterator[int], *, frechet: bool, vendi: bool) -> Iterator[Outcome]:
        """Yield what comes of splits, each computed by one process; the flags: as a whole."""
        while several := list(islice(numbers, strips.processes())):
            jobs = [
                partial(self._outcome, number, frechet=frechet, vendi=vendi) for number in several
            ]
            yield from (compute() for compute in strips.by_one_each(jobs))

    def _outcome(self, number: int, *, frechet: bool, vendi: bool) -> Outcome:
        real, synthetic = self._parts.samples(number)
        count = len(self._parts)
        means = (self._means[number], self._means[count + number])
        apart = float((means[0] - means[1]).square().sum())
        moments = (apart, self._variance(real, means[0]), self._variance(synthetic, means[1]))

        outcome = Outcome(moments)
        if frechet:
            outcome = outcome._replace(frechet=self._frechet(number, means))
        if vendi:
            outcome = outcome._replace(vendi=self._vendi(synthetic))
        return outcome

    def _frechet(self, number: int, means: tuple[Tensor, Tensor]) -> list[float]:
        """Return the Fréchet distance of a split and its parts."""
        real, synthetic = self._parts.samples(number)
        if min(len(real), len(synthetic)) <= len(self._centre):
            pair = (Moments.of(self._pool[real]), Moments.of(self._pool[synthetic]))
        else:
            products = self._products_of_parts(number, real, synthetic)
            pair = (
                self._moments(products[0], means[0], len(real)),
                self._moments(products[1], means[1], len(synthetic)),
            )
        distance, parts = frechet_and_parts(Coupling(*pair))
        return [distance, *parts]

    def _products_of_parts(
        self, number: int, real: Tensor, synthetic: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the products of both parts, the larger from those of the pool where it can be."""
        left = (self._parts.member[:, number] == 0).nonzero().flatten()
        smaller, larger = sorted((real, synthetic), key=len)
        of_smaller = self._products(smaller)
        if len(left) < len(larger):
            of_larger = self._total - of_smaller
            if len(left):
                of_larger -= self._products(left)
        else:
            of_larger = self._products(larger)
        if smaller is real:
            return of_smaller, of_larger
        return of_larger, of_smaller

    def _products(self, rows: Tensor) -> Tensor:
        """Return the products of samples about the middle of the pool, float64 [D, D]."""
        parts = (self._pool[some].double() - self._centre for some in rows.split(ROWS))
        return gram(parts, len(self._centre))

    def _moments(self, products: Tensor, mean: Tensor, n: int) -> Moments:
        """Return the moments of n samples, given their products, which are overwritten."""
        apart = mean - self._centre
        return Moments(mean, products.addr_(apart, apart, alpha=-n).div_(n - 1), n)

    def _means_of_parts(self) -> Tensor:
        """Return the mean of the real samples of each split, then of the synthetic ones."""
        count = len(self._parts)
        sums = torch.zeros(2 * count, len(self._centre), dtype=torch.float64)
        for rows in torch.arange(len(self._pool)).split(ROWS):
            members = self._parts.columns(rows, torch.float64)
            sums.addmm_(members.T, self._pool[rows].double() - self._centre)
        sums[:count] /= self._parts.n
        sums[count:] /= self._parts.m
        return sums.add_(self._centre)

    def _variance(self, rows: Tensor, mean: Tensor) -> float:
        """Return the total variance of samples."""
        squares = float(self._squares[rows].sum())
        squares -= len(rows) * float((mean - self._centre).square().sum())
        return squares / (len(rows) - 1)

    def _vendi(self, rows: Tensor) -> float | None:
        """Return the Vendi score of samples; None: it is undefined."""
        width = len(self._centre)
        try:
            if len(rows) <= width:
                return vendi_score(self._pool[rows])
            unit = unit_rows(self._pool[some] for some in rows.split(ROWS))
            return float(entropy_of(gram(unit, width).div_(len(rows))).exp())
        except Undefined:
            return None


def _scores(frechet: list[float] | None, vendi: float | None) -> dict[str, Any]:
    """Return the metrics by name, None where they are undefined or not finite."""
    scores = MetricValues()
    scores.add(FRECHET, lambda: frechet or [None] * len(FRECHET))
    scores.add(("vendi",), lambda: [vendi])
    return scores.values


def _log(value: float) -> float:
    return math.log(value) if value > 0 else math.nan
