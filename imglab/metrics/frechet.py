"""Fréchet distance between the Gaussians that are fitted to two feature sets.

It is called FID for Inception features (Heusel et al. 2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from imglab.metrics.eigen import WIDE, eigen_decomposition, eigh
from imglab.metrics.products import congruence, gram, lower_times, outer
from imglab.metrics.undefined import Undefined, check_features

ROWS = 1024
"""Rows that are in memory in float64 at a time."""

SINGULAR = 1e-12
"""A matrix counts as singular if its smallest eigenvalue is at most this share of the largest."""


@dataclass(frozen=True)
class Moments:
    """The mean and the covariance of n samples, float64.

    mean        [D]
    covariance  [D, D], divided by n - 1
    factor      [R, D] with `factor.T @ factor = covariance`; only where the sample cannot have
                full rank (n <= D)
    """

    mean: Tensor
    covariance: Tensor
    n: int
    factor: Tensor | None = None

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        """Estimate the moments of features [N, D], N >= 2."""
        n, width = features.shape
        if n <= width:
            mean = features.double().mean(0)
            centred = features.double() - mean
            factor = centred / (n - 1) ** 0.5
            return cls(mean, centred.T @ centred / (n - 1), n, factor)

        mean = mean_and_variance(features)[0]
        products = gram((part.double() - mean for part in features.split(ROWS)), width)
        return cls(mean, products.div_(n - 1), n)

    @cached_property
    def lower(self) -> Tensor | None:
        """The Cholesky factor L of the covariance L L', [D, D]; None where it is singular."""
        lower: Tensor
        lower, failed = torch.linalg.cholesky_ex(self.covariance)
        if self.factor is not None or int(failed):
            return None
        return lower


def frechet_distance(*, real: Tensor, synthetic: Tensor) -> float:
    """Return |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), in squared feature units, >= 0.

    real, synthetic  float [N, D]; each N >= 2, else `Undefined`

    It is biased upwards by about 1/N: compare only values of the same sizes. Covariances divide by
    n - 1, as the reference implementations do.

    Of two sets that differ by a shift of 3, it is the square of the shift:

    >>> frechet_distance(real=torch.tensor([[0.0], [2.0]]), synthetic=torch.tensor([[3.0], [5.0]]))
    9.0
    """
    check_features(real=real, synthetic=synthetic, at_least=2)
    return frechet_of_moments(real=Moments.of(real), synthetic=Moments.of(synthetic))


def frechet_of_moments(*, real: Moments, synthetic: Moments) -> float:
    """Return the Fréchet distance of two fitted Gaussians; never below 0."""
    return frechet_and_parts(Coupling(real, synthetic))[0]


def frechet_and_parts(coupling: Coupling) -> tuple[float, FrechetParts]:
    """Return the Fréchet distance of two fitted Gaussians, and its parts (`frechet_parts`)."""
    root = coupling.trace_of_root
    mean = float((coupling.real.mean - coupling.synthetic.mean).square().sum())
    variance = float(coupling.real.covariance.trace())
    return distance_and_parts(mean, variance, float(coupling.synthetic.covariance.trace()), root)


def distance_and_parts(
    mean: float, real_variance: float, synthetic_variance: float, root: float
) -> tuple[float, FrechetParts]:
    """Return the distance and its parts, given |m1 - m2|^2, tr S1, tr S2 and tr (S1 S2)^(1/2)."""
    distance = max(0.0, mean + real_variance + synthetic_variance - 2 * root)
    variance = (real_variance**0.5 - synthetic_variance**0.5) ** 2
    geometric_mean = (real_variance * synthetic_variance) ** 0.5
    rest = max(0.0, 2 * (geometric_mean - root))
    return distance, FrechetParts(mean, variance, rest)


class FrechetParts(NamedTuple):
    """The Fréchet distance as a sum of three parts, each >= 0, in squared feature units.

    mean      |m1 - m2|^2: the sets are shifted
    variance  (sqrt(tr S1) - sqrt(tr S2))^2: the total variances differ, as after fading
    rest      2 (sqrt(tr S1 tr S2) - tr (S1 S2)^(1/2)): variance has moved between directions
    """

    mean: float
    variance: float
    rest: float


def frechet_parts(*, real: Moments, synthetic: Moments) -> FrechetParts:
    """Split the Fréchet distance of two fitted Gaussians into shift, total variance and the rest.

    With a = tr S1 and b = tr S2, a + b - 2 tr (S1 S2)^(1/2) = (sqrt a - sqrt b)^2 + rest. The rest
    is >= 0 by the Cauchy-Schwarz inequality, and zero exactly where one covariance is a multiple
    of the other. So a set that is shifted and scaled as a whole has no rest.

    >>> real = Moments.of(torch.tensor([[-1.0], [0.0], [1.0]]))
    >>> frechet_parts(real=real, synthetic=Moments.of(torch.tensor([[1.0], [3.0], [5.0]])))
    FrechetParts(mean=9.0, variance=1.0, rest=0.0)
    """
    return frechet_and_parts(Coupling(real, synthetic))[1]


def match_moments(values: Tensor, *, to: Tensor, each: bool = False) -> Tensor:
    """Shift and scale synthetic values so that their mean and their variance are those of `to`.

    values, to  float [N, D], [M, D]; N >= 2 and M >= 2, else `Undefined`
    each        scale every dimension by itself, rather than all of them by ONE factor

    One factor makes the total variances equal and keeps every angle: it is meant for features.
    `each` makes the variances of all dimensions equal: it is meant for data, and undoes more. A
    dimension of `values` that is constant is shifted and stays constant. Where `to` is constant,
    so is the result. Raises `Undefined` where no factor gives `values` the variance of `to`, since
    all of its samples are equal. Returns float64 [N, D].

    >>> match_moments(torch.tensor([[0.0], [1.0]]), to=torch.tensor([[5.0], [9.0]])).flatten()
    tensor([5., 9.], dtype=torch.float64)
    """
    check_features(real=to, synthetic=values, at_least=2)
    mean, variance = mean_and_variance(values)
    target_mean, target_variance = mean_and_variance(to)
    if not bool(variance.any()) and bool(target_variance.any()):
        raise Undefined("all synthetic samples are equal: there is no spread to match")
    if not each:
        variance = variance.sum()
        target_variance = target_variance.sum()

    # A constant dimension has nothing to scale: its factor only has to be finite.
    factor = (target_variance / variance.where(variance > 0, torch.ones_like(variance))).sqrt()
    return values.to(torch.float64, copy=True).sub_(mean).mul_(factor).add_(target_mean)


def mean_and_variance(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the variance of each dimension, float64 [D]."""
    total = torch.zeros(values.shape[1], dtype=torch.float64)
    for rows in values.split(ROWS):
        total += rows.double().sum(0)
    mean = total / len(values)

    squares = torch.zeros_like(mean)
    for rows in values.split(ROWS):
        squares += (rows.double() - mean).square().sum(0)
    return mean, squares / (len(values) - 1)


def frechet_standard_error(*, real: Moments, synthetic: Tensor) -> float:
    """Return the standard error of the Fréchet distance over the draw of `synthetic` [N, D].

    The reference is held fixed. To first order in 1/sqrt(N) (delta method) the error comes from the
    spread of the influence function 2 (m2 - m1) . y + y' (I - T) y over centred samples y, where T
    is the optimal transport map from the synthetic to the real Gaussian. Raises `Undefined` where
    that map does not exist (a singular covariance).
    """
    moments = Moments.of(synthetic)
    maps = Coupling(real, moments).maps()
    if maps is None:
        raise Undefined(
            "a covariance is singular: fewer samples than features, or constant features"
        )

    transport = maps[1]  # [D, D]
    identity = torch.eye(len(transport), dtype=torch.float64)
    centred = synthetic.double() - moments.mean  # [N, D]

    quadratic = (centred @ (identity - transport) * centred).sum(1)  # [N]
    influence = 2 * centred @ (moments.mean - real.mean) + quadratic
    return float(influence.std() / moments.n**0.5)


@dataclass(frozen=True)
class Coupling:
    """Two fitted Gaussians, and the matrix whose eigenvalues say how they are best coupled.

    With S1 = L L' it is L' S2 L, symmetric, with the eigenvalues v of S1 S2. It is computed once,
    and decomposed once: by `decompose`, if the optimal maps are asked for later, too.
    """

    real: Moments
    synthetic: Moments

    def decompose(self) -> Coupling:
        """Take eigenvectors at once, since maps will be asked for; return the coupling itself.

        Of a large matrix they cost thrice as much as the eigenvalues, which come with them.
        """
        if self._matrix is not None and len(self._matrix) > WIDE:
            vars(self)["_values"] = self._vectors[0]
        return self

    @cached_property
    def trace_of_root(self) -> float:
        """The trace of (S1 S2)^(1/2), by the cheapest route that is exact at these ranks.

        Full rank: the sum of the roots of v. Otherwise, with S = A' A on both sides, the sum of the
        singular values of A1 A2', which loses no digits to the square root of a rounding error.
        """
        if self._matrix is not None and _has_full_rank(self._values):
            return float(self._values.sqrt().sum())
        factors = _factor(self.real) @ _factor(self.synthetic).T
        return float(torch.linalg.svdvals(factors).sum())

    def maps(self, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor] | None:
        """Return the optimal maps, [D, D], from real to synthetic, and back.

        With L' S2 L = V diag(v) V', they are L'^-1 V diag(v)^(1/2) V' L^-1 and
        L V diag(v)^(-1/2) V' L'. Their last products are taken in `dtype`. None: a covariance is
        singular.
        """
        lower = self.real.lower
        if self._matrix is None or lower is None:
            return None
        values, vectors = self._vectors
        for name in ("_vectors", "_matrix"):
            del vars(self)[name]  # which are large, and asked for once
        if not _has_full_rank(values):
            return None

        quarter = values.pow(0.25)
        forth = torch.linalg.solve_triangular(lower.T, vectors * quarter, upper=True)
        forth = outer(forth.to(dtype))
        back = lower_times(lower.to(dtype), vectors.div_(quarter).to(dtype))
        return forth, outer(back)

    @cached_property
    def _matrix(self) -> Tensor | None:
        lower = self.real.lower
        if lower is None or self.synthetic.factor is not None:
            return None
        return congruence(lower, self.synthetic.covariance)

    @cached_property
    def _values(self) -> Tensor:
        assert self._matrix is not None
        values: Tensor = torch.linalg.eigvalsh(self._matrix)
        return values

    @cached_property
    def _vectors(self) -> tuple[Tensor, Tensor]:
        assert self._matrix is not None
        values, vectors = eigen_decomposition(self._matrix)
        return values, vectors


def _has_full_rank(values: Tensor) -> bool:
    """Say whether eigenvalues, ascending, are those of a matrix of full rank."""
    return bool(values[0] > values[-1] * SINGULAR)


def _factor(moments: Moments) -> Tensor:
    if moments.factor is not None:
        return moments.factor
    values, vectors = eigh(moments.covariance)
    factor: Tensor = (vectors * values.clamp(min=0).sqrt()).T
    return factor
