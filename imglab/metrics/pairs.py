"""What the pairs of two feature sets say, each part looked at once, when it is first asked for."""

from __future__ import annotations

from functools import cached_property

from torch import Tensor

from imglab.metrics.bounded import BoundedPR
from imglab.metrics.frechet import Coupling, Moments, match_moments
from imglab.metrics.influence import frechet_errors
from imglab.metrics.kernel_errors import KernelDistance
from imglab.metrics.matched import STRETCHED, Matching
from imglab.metrics.one_pass import MATCHED_K, OnePass, Reference, frechet_values
from imglab.metrics.prdc import PRDC
from imglab.metrics.undefined import Undefined, check_features


class Pairs:
    """What the pairs of two sets say, looked at once; Undefined where a set is too small."""

    def __init__(
        self,
        real: Reference,
        synthetic: Tensor,
        *,
        precision_recall_k: int,
        density_coverage_k: int,
        errors: bool = False,
        matched: bool = False,
    ) -> None:
        """Take both sets.

        errors   standard errors are asked for, too
        matched  so are the scores of the synthetic samples, matched to the real ones
        """
        self.real = real
        self.synthetic = synthetic
        self.narrow_k = precision_recall_k
        self.wide_k = density_coverage_k
        self.errors = errors
        self._matched = matched

    def at_least(self, size: int) -> OnePass:
        """Return the pass over all pairs, if both sets have so many samples."""
        check_features(real=self.real.features, synthetic=self.synthetic, at_least=size)
        return self._one_pass

    def kernel(self, *, standard: bool) -> list[float]:
        """Return a kernel distance, of standardised features or not."""
        return [self._kernel_distance(standard=standard, least=2).value]

    def kernel_errors(self, *, standard: bool) -> tuple[float, list[float]]:
        """Return its standard error and the ends of its interval."""
        distance = self._kernel_distance(standard=standard, least=4)
        return distance.of_both, [distance.low, distance.high]

    def frechet(self) -> list[float]:
        """Return the Fréchet distance and its parts."""
        check_features(real=self.real.features, synthetic=self.synthetic, at_least=2)
        return frechet_values(self.coupling)

    def frechet_errors(self) -> list[float]:
        """Return their standard errors."""
        check_features(real=self.real.features, synthetic=self.synthetic, at_least=3)
        errors = frechet_errors(
            real=self.real.features,
            synthetic=self.synthetic,
            coupling=self.coupling,
        )
        return list(errors.values())

    def matched_scores(self) -> tuple[float, PRDC, BoundedPR]:
        """Return the Fréchet distance of matched samples, and how they lie in balls."""
        check_features(real=self.real.features, synthetic=self.synthetic, at_least=2)
        distance = self.matching.frechet(self.coupling)
        if self.matching.factor <= STRETCHED:
            scores, bounded = self.at_least(max(self.narrow_k, MATCHED_K) + 1).matched
        else:
            features = match_moments(self.synthetic, to=self.real.features)
            scores, bounded = self.real.balls_of(features, precision_recall_k=self.narrow_k)
        return distance, scores, bounded

    @cached_property
    def matching(self) -> Matching:
        """How the synthetic samples are matched; each set has at least 2 samples."""
        return Matching.of(self.coupling)

    @cached_property
    def coupling(self) -> Coupling:
        """Their fitted Gaussians; each set has at least 2 samples."""
        coupling = Coupling(self.real.moments, Moments.of(self.synthetic))
        if self.errors:
            coupling.decompose()
        return coupling

    @cached_property
    def _one_pass(self) -> OnePass:
        return OnePass(
            self.real,
            self.synthetic,
            precision_recall_k=self.narrow_k,
            density_coverage_k=self.wide_k,
            errors=self.errors,
            matching=self._matching(),
        )

    def _kernel_distance(self, *, standard: bool, least: int) -> KernelDistance:
        one_pass = self.at_least(least)
        return one_pass.kernel_standard if standard else one_pass.kernel

    def _matching(self) -> Matching | None:
        """Return how the samples are matched, if that is asked for and possible."""
        if not self._matched or len(self.synthetic) <= MATCHED_K:
            return None
        try:
            matching = self.matching
        except Undefined:
            return None
        return matching if matching.factor <= STRETCHED else None
