"""Standard errors of the Fréchet distance and its parts over redrawn real and synthetic sets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from imglab.metrics.frechet import ROWS, Moments, transport_factors
from imglab.metrics.undefined import check_features
from imglab.seeds import generator

PARTS: tuple[str, ...] = ("fid", "mean", "variance", "rest")

CUTS = 6
"""Random cuts of the pooled samples that show what the errors are without any difference."""

LARGE = 2**33
"""Products beyond which quadratic forms are taken in float32."""

WIDE = 256
"""Features beyond which one cut is enough: it averages over so many."""


def frechet_errors(
    *,
    real: Tensor,
    synthetic: Tensor,
    real_moments: Moments | None = None,
    synthetic_moments: Moments | None = None,
) -> dict[str, float]:
    """Return the standard errors of the distance (`fid`), and of its three parts.

    real, synthetic  float [N, D], [M, D], each at least 3 samples, else `Undefined`
    real_moments, synthetic_moments  theirs, where they have been computed

    It is the infinitesimal jackknife: each metric's derivative by the weight of each sample, for
    both sets, and the variances of the two add. The derivative of the trace of the root by the
    weight of a centred sample x is x' T x / 2, T the optimal map from its own Gaussian to the other
    (`transport_factors`). Where a covariance is singular and there is no such map, take centred
    samples as rows of A: with S = A' A and A1 A2' = U diag(s) V', the trace of the root is the sum
    of s, and its derivative by the weight of synthetic sample i is V_i diag(s) V_i' / 2 (of a real
    one, with U). So one singular value decomposition gives it at any rank.

    A jackknife counts the spread of pairs of samples twice, which is all there is where the
    distributions are equal. How much that is shows where there is no difference: in sets that are
    drawn at random from both together, once each has been centred. Half of what is counted there
    is taken off, and as much is left at least. With no more samples than features that fails for
    `fid` and `rest` (their spread is not one of pairs any more), and the jackknife stands as it
    is. Returns the keys fid, mean, variance and rest.
    """
    check_features(real=real, synthetic=synthetic, at_least=3)
    moments = (real_moments or Moments.of(real), synthetic_moments or Moments.of(synthetic))
    x = _Set([(real, moments[0].mean)], moments[0])
    y = _Set([(synthetic, moments[1].mean)], moments[1])
    variances = _variances(x, y)

    corrected = PARTS
    if min(len(real), len(synthetic)) <= real.shape[1]:
        corrected = ("mean", "variance")
    of_pairs = _variances_without_difference(x, y)
    for name in corrected:
        variances[name] = max(variances[name] - of_pairs[name] / 2, of_pairs[name] / 2)
    return {name: math.sqrt(variance) for name, variance in variances.items()}


@dataclass(frozen=True)
class _Set:
    """N samples, and their moments.

    parts    features, float [n, D] each, and what is subtracted from them to centre them
    moments  of the centred samples and, beyond a shift, of the samples themselves
    """

    parts: list[tuple[Tensor, Tensor]]
    moments: Moments

    def centred(self) -> Iterator[Tensor]:
        """Yield the centred samples, float64 [B, D]."""
        for features, centre in self.parts:
            for rows in _blocks(features):
                yield rows.double() - centre

    def chosen(self, rows: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return some of the samples, int64 [M], as `parts` of another set."""
        ((features, centre),) = self.parts
        return [(features[rows], centre)]


def _blocks(features: Tensor) -> Sequence[Tensor]:
    """Return the rows of features in blocks; few rows need no call of the library."""
    if len(features) <= ROWS:
        return (features,)
    return tuple(features.split(ROWS))


def _variances_without_difference(x: _Set, y: _Set) -> dict[str, float]:
    """Return the mean of the jackknife's variances over random cuts of both centred sets."""
    n = x.moments.n
    cuts = CUTS
    if len(x.moments.mean) > WIDE:
        cuts = 1

    means = dict.fromkeys(PARTS, 0.0)
    for number in range(cuts):
        order = _cut(n + y.moments.n, number)
        mixed = []
        for rows in (order[:n], order[n:]):
            is_first = rows < n
            parts = x.chosen(rows[is_first]) + y.chosen(rows[~is_first] - n)
            mixed.append(_centred_set(parts, len(rows)))
        for name, variance in _variances(mixed[0], mixed[1]).items():
            means[name] += variance / cuts
    return means


@lru_cache(maxsize=2 * CUTS)
def _cut(size: int, number: int) -> Tensor:
    """Return the order of so many samples in a cut, which is the same for every generation."""
    return torch.randperm(size, generator=generator("cut", number))


def _centred_set(parts: list[tuple[Tensor, Tensor]], n: int) -> _Set:
    """Return the set of these samples, centred as a whole."""
    width = parts[0][0].shape[1]
    total = torch.zeros(width, dtype=torch.float64)
    for features, centre in parts:
        for rows in _blocks(features):
            total += (rows.double() - centre).sum(0)
    moved = [(features, centre + total / n) for features, centre in parts]

    centred = _Set(moved, Moments(total, torch.zeros(0, 0), n))
    factor = None
    if n <= width:
        factor = torch.cat(list(centred.centred())) / (n - 1) ** 0.5
    covariance = torch.zeros(width, width, dtype=torch.float64)
    for rows in centred.centred():
        covariance.addmm_(rows.T, rows)
    return replace(centred, moments=Moments(total / n, covariance.div_(n - 1), n, factor))


def _variances(x: _Set, y: _Set) -> dict[str, float]:
    """Return the jackknife's variance of each part over redrawn samples of both sets."""
    offset = y.moments.mean - x.moments.mean
    root_of_x, root_of_y = _root_derivatives(x, y)
    of_x = _variances_of_one(x, y, -offset, root_of_x)
    of_y = _variances_of_one(y, x, offset, root_of_y)
    return {name: of_x[name] + of_y[name] for name in PARTS}


def _variances_of_one(x: _Set, other: _Set, offset: Tensor, root: Tensor) -> dict[str, float]:
    """Return what redrawing the set x contributes to the variance of each metric.

    offset  the mean of x less that of the other set, [D]
    root    derivative of the trace of the root by the weight of each sample of x, [N]
    """
    # The lengths are the derivative of tr S, up to a constant.
    lengths = torch.cat([rows.square().sum(1) for rows in x.centred()])
    mean = 2 * torch.cat([rows @ offset for rows in x.centred()])
    n = x.moments.n
    trace = float(x.moments.covariance.trace())
    other_trace = float(other.moments.covariance.trace())

    ratio = 0.0
    if trace > 0:
        ratio = math.sqrt(other_trace / trace)
    derivatives = {
        "fid": mean + lengths - 2 * root,
        "mean": mean,
        "variance": lengths * (1 - ratio),
        "rest": ratio * lengths - 2 * root,
    }
    return {name: float(each.var()) / n for name, each in derivatives.items()}


def _root_derivatives(x: _Set, y: _Set) -> tuple[Tensor, Tensor]:
    """Return N times the derivative of tr (S1 S2)^(1/2) by each sample's weight, [N] and [M]."""
    factors = transport_factors(real=x.moments, synthetic=y.moments)
    if factors is None:
        return _singular_root_derivatives(x, y)
    forth, back = factors
    return _quadratic(x, forth) / 2, _quadratic(y, back) / 2


def _quadratic(x: _Set, factor: Tensor) -> Tensor:
    """Return x_i' F F' x_i for each centred sample, times N / (N - 1), float64 [N].

    The sums have no terms below 0, so float32 products cost no digits that an error needs.
    """
    n = x.moments.n
    dtype = torch.float64
    if n * factor.numel() > LARGE:
        dtype = torch.float32
    factor = factor.to(dtype)
    forms = [(rows.to(dtype) @ factor).square_().sum(1).double() for rows in x.centred()]
    return torch.cat(forms) * n / (n - 1)


def _singular_root_derivatives(x: _Set, y: _Set) -> tuple[Tensor, Tensor]:
    """Return what `_root_derivatives` does, at any rank."""
    n = x.moments.n
    m = y.moments.n

    # A = Q R, so that only a small product is decomposed: A1 A2' = Q1 (R1 R2') Q2'.
    x_basis, x_factor = torch.linalg.qr(torch.cat(list(x.centred())) / (n - 1) ** 0.5)
    y_basis, y_factor = torch.linalg.qr(torch.cat(list(y.centred())) / (m - 1) ** 0.5)
    left, values, right = torch.linalg.svd(x_factor @ y_factor.T, full_matrices=False)

    of_x = (x_basis @ left).square() @ values
    of_y = (y_basis @ right.T).square() @ values
    return of_x * n / 2, of_y * m / 2
