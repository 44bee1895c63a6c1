"""Fréchet distance between Gaussians fitted to two feature sets (Heusel et al. 2017, "FID" for Inception features)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from imglab.metrics.undefined import Undefined, check_features


@dataclass(frozen=True)
class Moments:
    """Mean [D], covariance [D, D] (divided by n - 1) and a factor [R, D] with `factor.T @ factor = covariance`.

    The factor exists only where the sample cannot have full rank (n <= D); all are float64.
    """

    mean: Tensor
    covariance: Tensor
    n: int
    factor: Tensor | None = None

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        """Estimate the moments of features [N, D], N >= 2."""
        values = features.double()
        centred = values - values.mean(0)
        n, width = values.shape
        factor = centred / (n - 1) ** 0.5 if n <= width else None
        return cls(values.mean(0), centred.T @ centred / (n - 1), n, factor)


def frechet_distance(*, real: Tensor, synthetic: Tensor) -> float:
    """Return |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), in squared feature units, >= 0.

    real, synthetic  float [N, D]; each N >= 2, else `Undefined`

    Biased upwards by about 1/N: compare only values of the same sizes. Covariances divide by n - 1, as the
    reference implementations do.
    """
    check_features(real=real, synthetic=synthetic, at_least=2)
    return frechet_of_moments(real=Moments.of(real), synthetic=Moments.of(synthetic))


def frechet_of_moments(*, real: Moments, synthetic: Moments) -> float:
    """Return the Fréchet distance of two fitted Gaussians; never below 0."""
    offset = (real.mean - synthetic.mean).square().sum()
    traces = real.covariance.trace() + synthetic.covariance.trace()
    return max(0.0, float(offset + traces - 2 * _trace_of_root(real, synthetic)))


def frechet_standard_error(*, real: Moments, synthetic: Tensor) -> float:
    """Return the standard error of the Fréchet distance over the draw of `synthetic`; the reference is held fixed.

    First order in 1/sqrt(N) (delta method): the spread of the influence function
    2 (m2 - m1) . y + y' (I - T) y over centred samples y, where T is the optimal transport map from the synthetic to
    the real Gaussian. Raises `Undefined` where that map does not exist (a singular covariance).
    """
    moments = Moments.of(synthetic)
    lower, failed = torch.linalg.cholesky_ex(real.covariance)
    values, vectors = torch.linalg.eigh(lower.T @ moments.covariance @ lower)
    if int(failed) or moments.factor is not None or values[0] <= values[-1] * 1e-12:
        raise Undefined(
            "a covariance is singular: fewer samples than features, or constant features"
        )
    transport = lower @ (vectors / values.sqrt()) @ vectors.T @ lower.T
    centred = synthetic.double() - moments.mean
    quadratic = (centred @ (torch.eye(len(values), dtype=torch.float64) - transport) * centred).sum(
        1
    )
    influence = 2 * centred @ (moments.mean - real.mean) + quadratic
    return float(influence.std() / moments.n**0.5)


def _trace_of_root(real: Moments, synthetic: Moments) -> float:
    """Tr (S1 S2)^(1/2), by the cheapest route that is exact at these ranks.

    Full rank: with S1 = L L', the eigenvalues of S1 S2 are those of the symmetric L' S2 L. Otherwise, with
    S = A' A on both sides, the trace is the sum of the singular values of A1 A2', which loses no digits to the
    square root of a rounding error.
    """
    if real.factor is None and synthetic.factor is None:
        lower, failed = torch.linalg.cholesky_ex(real.covariance)
        if not int(failed):
            values = torch.linalg.eigvalsh(lower.T @ synthetic.covariance @ lower)
            if values[0] > values[-1] * 1e-12:
                return float(values.sqrt().sum())
    return float(torch.linalg.svdvals(_factor(real) @ _factor(synthetic).T).sum())


def _factor(moments: Moments) -> Tensor:
    if moments.factor is not None:
        return moments.factor
    values, vectors = torch.linalg.eigh(moments.covariance)
    factor: Tensor = (vectors * values.clamp(min=0).sqrt()).T
    return factor
