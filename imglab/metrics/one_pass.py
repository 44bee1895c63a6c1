"""All that the pairs of two feature sets say, from one look at each tile of their products."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from imglab.metrics.bounded import BoundedPR, InBoundedBalls
from imglab.metrics.frechet import Coupling, Moments, frechet_and_parts
from imglab.metrics.kernel import KernelMatrix, sums_between, sums_within
from imglab.metrics.kernel_errors import KernelDistance, KernelSums, kernel_distance_of_sums
from imglab.metrics.matched import MatchedTiles, Matching
from imglab.metrics.neighbours import kth_squared_distance
from imglab.metrics.points import Frame, Points, precision
from imglab.metrics.prdc import PRDC, Balls, InBalls, Radii, prdc_of
from imglab.metrics.probabilistic import K, ProbabilisticPR, Support
from imglab.metrics.standard import Standard, StandardPoints, influence_of_standard
from imglab.metrics.tiles import Consumer, sweep, tiles
from imglab.metrics.undefined import check_features

MATCHED_K = 5
"""Neighbours that set the wide balls of real samples, where matched samples are looked for."""


@dataclass(frozen=True)
class Reference:
    """The features of real data, float [N, D], and what they say by themselves.

    dtype  in which products are taken; default: `points.precision`
    frame  where they are taken; default: the real data's own

    Moments, radii and kernel sums are computed when they are first asked for and stay here, so a
    chain computes them once.
    """

    features: Tensor
    dtype: torch.dtype | None = None
    frame: Frame | None = None
    _radii: dict[int, Tensor] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def moments(self) -> Moments:
        """Mean and covariance."""
        return Moments.of(self.features)

    def frechet(self, synthetic: Tensor) -> list[float]:
        """Return the Fréchet distance to synthetic features, and its parts.

        Raises Undefined with fewer than two rows.
        """
        check_features(real=self.features, synthetic=synthetic, at_least=2)
        return frechet_values(Coupling(self.moments, Moments.of(synthetic)))

    @cached_property
    def points(self) -> Points:
        """The real data in their frame."""
        dtype = self.dtype or precision(self.features)
        rows = self.features.to(dtype)
        return Points(rows, self.frame or Frame.of(rows), dtype)

    def seen(self, features: Tensor) -> Points:
        """Return other features, float [M, D], in the same frame and precision."""
        points = self.points
        if features.dtype != torch.float64:
            features = features.to(points.dtype)
        return Points(features, points.frame, points.dtype)

    def beside(self, synthetic: Tensor) -> Reference:
        """Return the reference in whose frame and precision these features can be seen.

        It is this one, unless their values are very much larger, or the sets are small only by
        themselves.
        """
        dtype = precision(self.features, synthetic)
        if dtype == self.points.dtype and self.points.frame.holds(synthetic):
            return self
        frame = Frame.of(self.features.to(dtype), synthetic.to(dtype))
        return replace(self, dtype=dtype, frame=frame, _radii={})

    def radii(self, k: int) -> Tensor:
        """Return each distinct row's squared distance to its k-th nearest other one, float64."""
        self.prepare((k,))
        return self._radii[k]

    def prepare(self, ks: tuple[int, ...]) -> None:
        """Take the radii for several k, and the sums of the kernel, from the same tiles."""
        missing = tuple(k for k in ks if k not in self._radii)
        if missing:
            also: list[KernelMatrix] = []
            if "kernel" not in vars(self):
                also.append(KernelMatrix(self.points, self.points))
            radii = kth_squared_distance(self.points, missing, also)
            self._radii.update(zip(missing, radii, strict=True))
            for matrix in also:
                vars(self)["kernel"] = matrix.sums

    def balls_of(
        self, synthetic: Tensor, *, precision_recall_k: int, density_coverage_k: int = MATCHED_K
    ) -> tuple[PRDC, BoundedPR]:
        """Return `prdc` and `bounded_precision_recall` of synthetic features, float [M, D].

        Raises Undefined where a set is too small.
        """
        most = max(precision_recall_k, density_coverage_k)
        check_features(real=self.features, synthetic=synthetic, at_least=most + 1)
        real = self.beside(synthetic)
        points = real.seen(synthetic)
        real.prepare((precision_recall_k, density_coverage_k))
        alone = points.around_own_middle()
        (synthetic_narrow,) = kth_squared_distance(alone, (precision_recall_k,))

        narrow = real.radii(precision_recall_k)
        radii = Radii(narrow, real.radii(density_coverage_k), synthetic_narrow)
        in_balls = InBalls(real.points, points, radii)
        in_bounded = InBoundedBalls(real.points, points, narrow, synthetic_narrow)
        sweep(tiles(points, real.points), [in_balls, in_bounded])
        return prdc_of(in_balls.balls, density_coverage_k), in_bounded.scores

    @cached_property
    def kernel(self) -> KernelSums:
        """The kernel's sums of the real data with themselves."""
        return sums_within(self.points)

    @cached_property
    def standard(self) -> Standard:
        """The mean and the deviation by which features are standardised."""
        return Standard.of(self.moments.mean, self.moments.covariance.diagonal())

    @cached_property
    def standard_kernel(self) -> KernelSums:
        """The same sums of standardised features."""
        return sums_within(StandardPoints(self.points, self.standard))


def frechet_values(coupling: Coupling) -> list[float]:
    """Return the Fréchet distance, and its parts."""
    distance, parts = frechet_and_parts(coupling)
    return [distance, *parts]


class OnePass:
    """Compares synthetic features with a reference, by one look at each pair."""

    def __init__(
        self,
        reference: Reference,
        synthetic: Tensor,
        *,
        precision_recall_k: int,
        density_coverage_k: int,
        errors: bool = True,
        matching: Matching | None = None,
    ) -> None:
        """Look at all pairs; `synthetic` is finite, float [M, D], M >= 2.

        errors    those of standardised features know that the standardisation is redrawn, too
        matching  also look at the synthetic samples as they are once they are matched
        """
        self._errors = errors
        self._real = reference.beside(synthetic)
        self._points = self._real.seen(synthetic)
        self._ks = (precision_recall_k, density_coverage_k)
        fewest = min(len(reference.features), len(synthetic))

        # Radii come first, each set by itself; the tiles of both sets are compared with them.
        self._of_points = self._look_at_synthetic(fewest)
        self._real.prepare(tuple(sorted({k for k in (*self._ks, K, MATCHED_K) if k < fewest})))

        self._in_balls, self._in_bounded, self._support = self._consumers(fewest)
        cross = KernelMatrix(self._points, self._real.points)
        consumers: list[Consumer | None] = [self._in_balls, self._in_bounded, self._support, cross]
        self._matched: tuple[InBalls, InBoundedBalls] | None = None
        if matching is not None and max(precision_recall_k, MATCHED_K) < fewest:
            consumers.append(self._matched_tiles(matching))
        sweep(tiles(self._points, self._real.points), [each for each in consumers if each])
        self._cross = cross.sums

    def _look_at_synthetic(self, fewest: int) -> KernelSums:
        """Take the radii of the synthetic samples, and return the sums of their kernel."""
        alone = self._points.around_own_middle()
        of_points = KernelMatrix(alone, alone)
        ks = tuple(sorted({k for k in (self._ks[0], K) if k < fewest}))
        if ks:
            radii = kth_squared_distance(alone, ks, [of_points])
            self._radii = dict(zip(ks, radii, strict=True))
        else:
            sweep(tiles(alone, alone, half=True), [of_points])
        return of_points.sums

    def _matched_tiles(self, matching: Matching) -> MatchedTiles:
        """Return what shows matched samples to the consumers that `matched` reads."""
        reals = self._real.points
        shown = MatchedTiles(self._points, reals, matching)
        narrow = self._real.radii(self._ks[0])
        synthetic_narrow = shown.radii(self._radii[self._ks[0]])
        radii = Radii(narrow, self._real.radii(MATCHED_K), synthetic_narrow)
        self._matched = (
            InBalls(reals, shown.points, radii),
            InBoundedBalls(reals, shown.points, narrow, synthetic_narrow),
        )
        shown.consumers = self._matched
        return shown

    def _consumers(
        self, fewest: int
    ) -> tuple[InBalls | None, InBoundedBalls | None, Support | None]:
        """Return those that are defined at this size of the smaller set."""
        narrow_k, wide_k = self._ks
        reals = self._real.points
        in_balls = None
        in_bounded = None
        support = None
        if narrow_k < fewest:
            narrow = self._real.radii(narrow_k)
            synthetic_narrow = self._radii[narrow_k]
            in_bounded = InBoundedBalls(reals, self._points, narrow, synthetic_narrow)
            if wide_k < fewest:
                radii = Radii(narrow, self._real.radii(wide_k), synthetic_narrow)
                in_balls = InBalls(reals, self._points, radii)
        if fewest > K:
            support = Support(reals, self._points, self._real.radii(K), self._radii[K])
        return in_balls, in_bounded, support

    @cached_property
    def balls(self) -> Balls:
        """Who lies in whose ball, for both k; each set has more than k samples."""
        assert self._in_balls is not None
        return self._in_balls.balls

    @property
    def bounded(self) -> InBoundedBalls:
        """Who lies in whose ball of bounded radius; each set has more than k samples."""
        assert self._in_bounded is not None
        return self._in_bounded

    @property
    def support(self) -> ProbabilisticPR:
        """Probabilistic precision and recall; each set has more than 4 samples."""
        assert self._support is not None
        return self._support.scores

    @property
    def matched(self) -> tuple[PRDC, BoundedPR]:
        """What matched samples score; each set has more than k samples."""
        assert self._matched is not None
        in_balls, in_bounded = self._matched
        return prdc_of(in_balls.balls, MATCHED_K), in_bounded.scores

    @cached_property
    def kernel(self) -> KernelDistance:
        """The kernel distance."""
        distance = kernel_distance_of_sums(
            real=self._real.kernel, synthetic=self._of_points, cross=self._cross
        )
        if self._overflowed(distance):
            reference = self._in_float64()
            points = reference.seen(self._points.rows)
            return kernel_distance_of_sums(
                real=reference.kernel,
                synthetic=sums_within(points),
                cross=sums_between(points, reference.points),
            )
        return distance

    @cached_property
    def kernel_standard(self) -> KernelDistance:
        """The kernel distance of features standardised by the real ones."""
        distance = self._standard_distance(self._real, self._points)
        if self._overflowed(distance):
            reference = self._in_float64()
            return self._standard_distance(reference, reference.seen(self._points.rows))
        return distance

    def _standard_distance(self, reference: Reference, synthetic: Points) -> KernelDistance:
        points = StandardPoints(synthetic, reference.standard)
        reals = StandardPoints(reference.points, reference.standard)
        influence = None
        if self._errors:
            influence = influence_of_standard(
                reference.features, synthetic.rows, reference.standard
            )
        return kernel_distance_of_sums(
            real=reference.standard_kernel,
            synthetic=sums_within(points),
            cross=sums_between(points, reals),
            influence=influence,
        )

    def _overflowed(self, distance: KernelDistance) -> bool:
        """Say whether a kernel, whose error needs its sixth powers, left float32."""
        return self._points.dtype == torch.float32 and not all(map(math.isfinite, distance))

    def _in_float64(self) -> Reference:
        return replace(self._real, dtype=torch.float64, frame=None, _radii={})
