"""The Fréchet distances and Vendi scores of many splits of one pool.

Both need the eigenvalues of a matrix of all features. Of wide features that takes longer for each
split than all else, so only the first splits are computed as a whole, and the others from the
main directions of the pool (`MainDirections`), if these explain how splits differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
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
from imglab.metrics.main_directions import DIRECTIONS, MainDirections, MainPart, Part
from imglab.metrics.products import gram
from imglab.metrics.split_parts import SplitParts
from imglab.metrics.undefined import Undefined
from imglab.metrics.vendi import entropy_of, unit_rows, vendi_score

WHOLE = 10
"""Splits that are computed as a whole, before the others are by their main directions."""


class Outcome(NamedTuple):
    """What was computed of one split.

    moments  |m1 - m2|^2, tr S1 and tr S2
    frechet  the Fréchet distance and its parts, as a whole
    vendi    the Vendi score, as a whole
    excess   the Fréchet distance about the means, in the main directions
    entropy  the log of the Vendi score, in the main directions
    """

    moments: tuple[float, float, float]
    frechet: list[float] | None = None
    vendi: float | None = None
    excess: Part | None = None
    entropy: Part | None = None


class SplitGaussians:
    """Fitted Gaussians of the parts of every split, and eigenvalues of their samples."""

    def __init__(self, pool: Tensor, parts: SplitParts, *, whole: int) -> None:
        """Take a pool, float [P, D]; `whole` splits are computed as a whole in any case."""
        self._pool = pool
        self._parts = parts
        self._whole = min(whole, len(parts))
        self._centre = mean_and_variance(pool)[0]
        blocks = (part.double() - self._centre for part in pool.split(ROWS))
        self._squares = torch.cat([rows.square_().sum(1) for rows in blocks])
        self._total = self._products(torch.arange(len(pool)))
        self._main: MainDirections | None = None
        if whole < len(parts) and pool.shape[1] > 2 * DIRECTIONS:
            self._main = MainDirections.of(pool, self._centre, self._total)
        self._excess = MainPart()
        self._entropy = MainPart()

    def scores(self) -> Iterator[dict[str, Any]]:
        """Yield the Fréchet distance with its parts, and `vendi`, of each split."""
        numbers = iter(range(len(self._parts)))
        for outcome in self._outcomes(islice(numbers, self._whole), frechet=True, vendi=True):
            if outcome.excess and outcome.frechet:
                self._excess.add(outcome.excess, outcome.frechet[0] - outcome.moments[0])
            if outcome.entropy and outcome.vendi:
                self._entropy.add(outcome.entropy, float(torch.tensor(outcome.vendi).log()))
            yield self._scores(outcome)

        wholes = {"frechet": not self._excess.is_trusted, "vendi": not self._entropy.is_trusted}
        for outcome in self._outcomes(numbers, **wholes):
            yield self._scores(outcome)

    def _scores(self, outcome: Outcome) -> dict[str, Any]:
        """Return the metrics; where they are not known as a whole, estimate them."""
        frechet = outcome.frechet
        if frechet is None and outcome.excess:
            mean, variance, other = outcome.moments
            root = (variance + other - self._excess.estimate(outcome.excess)) / 2
            distance, of_distance = distance_and_parts(mean, variance, other, root)
            frechet = [distance, *of_distance]
        vendi = outcome.vendi
        if vendi is None and outcome.entropy:
            vendi = float(torch.tensor(self._entropy.estimate(outcome.entropy)).double().exp())

        scores = MetricValues()
        scores.add(FRECHET, lambda: frechet or [None] * len(FRECHET))
        scores.add(("vendi",), lambda: [vendi])
        return scores.values

    def _outcomes(self, numbers: Iterator[int], *, frechet: bool, vendi: bool) -> Iterator[Outcome]:
        """Yield what comes of splits, each computed by one process; the flags: as a whole."""
        while several := list(islice(numbers, strips.processes())):
            jobs = [
                partial(self._outcome, number, frechet=frechet, vendi=vendi) for number in several
            ]
            yield from (compute() for compute in strips.by_one_each(jobs))

    def _outcome(self, number: int, *, frechet: bool, vendi: bool) -> Outcome:
        real, synthetic = self._parts.samples(number)
        means = (self._mean(real), self._mean(synthetic))
        apart = float((means[0] - means[1]).square().sum())
        moments = (apart, self._variance(real, means[0]), self._variance(synthetic, means[1]))

        outcome = Outcome(moments)
        if self._main is not None:
            excess = self._main.excess(real, synthetic, moments[1] + moments[2])
            outcome = outcome._replace(excess=excess, entropy=self._main.entropy(synthetic))
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

    def _mean(self, rows: Tensor) -> Tensor:
        total = torch.zeros_like(self._centre)
        for some in rows.split(ROWS):
            total += self._pool[some].sum(0, dtype=torch.float64)
        return total / len(rows)

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
