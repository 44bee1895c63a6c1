"""Standard errors of the Fréchet distance and its parts over redrawn real and synthetic sets."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from imglab.metrics.frechet import ROWS, Coupling, Moments
from imglab.metrics.products import doubled_above, gram, quadratic_forms
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
    coupling: Coupling | None = None,
) -> dict[str, float]:
    """Return the standard errors of the distance (`fid`), and of its three parts.

    real, synthetic  float [N, D], [M, D], each at least 3 samples, else `Undefined`
    coupling         of their moments, where it has been computed

    It is the infinitesimal jackknife: each metric's derivative by the weight of each sample, for
    both sets, and the variances of the two add. The derivative of the trace of the root by the
    weight of a centred sample x is x' T x / 2, T the optimal map from its own Gaussian to the other
    (`Coupling.maps`). Where a covariance is singular and there is no such map, take centred
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
    if coupling is None:
        coupling = Coupling(Moments.of(real), Moments.of(synthetic))
    x = _Set.whole(real, coupling.real)
    y = _Set.whole(synthetic, coupling.synthetic)
    variances = _variances(x, y, coupling)

    corrected = PARTS
    if min(len(real), len(synthetic)) <= real.shape[1]:
        corrected = ("mean", "variance")
    of_pairs = _variances_without_difference(x, y)
    for name in corrected:
        variances[name] = max(variances[name] - of_pairs[name] / 2, of_pairs[name] / 2)
    return {name: math.sqrt(variance) for name, variance in variances.items()}


class _Part(NamedTuple):
    """Some rows of features [N, D], int64 [M], and what is subtracted to centre them, [D]."""

    features: Tensor
    rows: Tensor
    centre: Tensor

    def centred(self) -> Iterator[Tensor]:
        """Yield the centred rows, float64 [B, D]; nothing is copied as a whole."""
        for block in self.rows.split(ROWS):
            yield self.features[block].double().sub_(self.centre)


@dataclass(frozen=True)
class _Set:
    """N samples, and their moments.

    parts    where they come from
    moments  of the centred samples and, beyond a shift, of the samples themselves
    """

    parts: list[_Part]
    moments: Moments

    @classmethod
    def whole(cls, features: Tensor, moments: Moments) -> _Set:
        """Return the set of all rows of features [N, D] that have these moments."""
        return cls([_Part(features, torch.arange(len(features)), moments.mean)], moments)

    def centred(self) -> Iterator[Tensor]:
        """Yield the centred samples, float64 [B, D]."""
        for part in self.parts:
            yield from part.centred()

    def chosen(self, rows: Tensor) -> list[_Part]:
        """Return some of the samples, int64 [M], as `parts` of another set."""
        (part,) = self.parts
        return [part._replace(rows=rows)]


def _variances_without_difference(x: _Set, y: _Set) -> dict[str, float]:
    """Return the mean of the jackknife's variances over random cuts of both centred sets."""
    n = x.moments.n
    m = y.moments.n
    cuts = CUTS
    if len(x.moments.mean) > WIDE:
        cuts = 1

    means = dict.fromkeys(PARTS, 0.0)
    for number in range(cuts):
        order = _cut(n + m, number)
        first = _centred_set(_chosen(x, y, order[:n]), n)
        others = _chosen(x, y, order[n:])
        if min(n, m) > len(x.moments.mean):
            second = _rest(others, x, y, first)
        else:
            second = _centred_set(others, m)
        for name, variance in _variances(first, second).items():
            means[name] += variance / cuts
    return means


@lru_cache(maxsize=2 * CUTS)
def _cut(size: int, number: int) -> Tensor:
    """Return the order of so many samples in a cut, which is the same for every generation."""
    return torch.randperm(size, generator=generator("cut", number))


def _chosen(x: _Set, y: _Set, rows: Tensor) -> list[_Part]:
    """Return some samples of both sets, int64 [M], as `parts` of another set."""
    n = x.moments.n
    is_first = rows < n
    return x.chosen(rows[is_first]) + y.chosen(rows[~is_first] - n)


def _centred_set(parts: list[_Part], n: int) -> _Set:
    """Return the set of these samples, centred as a whole."""
    width = parts[0].features.shape[1]
    total = torch.zeros(width, dtype=torch.float64)
    for part in parts:
        for rows in part.centred():
            total += rows.sum(0)

    mean = total / n
    centred = _moved(parts, Moments(mean, torch.zeros(0, 0), n))
    factor = None
    if n <= width:
        factor = torch.cat(list(centred.centred())) / (n - 1) ** 0.5
    covariance = gram(centred.centred(), width).div_(n - 1)
    return replace(centred, moments=Moments(mean, covariance, n, factor))


def _rest(parts: list[_Part], x: _Set, y: _Set, first: _Set) -> _Set:
    """Return the set of what is left of two centred sets, all of them larger than D.

    The sum of all products is that of both sets, and the products of `first` are known.
    """
    n = first.moments.n
    m = x.moments.n + y.moments.n - n
    products = x.moments.covariance * (x.moments.n - 1)
    products.add_(y.moments.covariance, alpha=y.moments.n - 1)
    products.add_(first.moments.covariance, alpha=1 - n)
    products.addr_(first.moments.mean, first.moments.mean, alpha=-n)

    mean = -n / m * first.moments.mean
    products.addr_(mean, mean, alpha=-m)
    return _moved(parts, Moments(mean, products.div_(m - 1), m))


def _moved(parts: list[_Part], moments: Moments) -> _Set:
    """Return the set of samples whose mean is that of the moments, once centred as they are."""
    moved = [part._replace(centre=part.centre + moments.mean) for part in parts]
    return _Set(moved, moments)


def _variances(x: _Set, y: _Set, coupling: Coupling | None = None) -> dict[str, float]:
    """Return the jackknife's variance of each part over redrawn samples of both sets."""
    width = len(x.moments.mean)
    dtype = torch.float64
    if max(x.moments.n, y.moments.n) * width**2 > LARGE:
        dtype = torch.float32

    maps = (coupling or Coupling(x.moments, y.moments)).maps(dtype)
    offset = y.moments.mean - x.moments.mean
    if maps is None:
        roots = _singular_root_derivatives(x, y)
        terms_of_x = _terms(x, -offset)._replace(root=roots[0])
        terms_of_y = _terms(y, offset)._replace(root=roots[1])
    else:
        terms_of_x = _terms(x, -offset, maps[0])
        terms_of_y = _terms(y, offset, maps[1])

    of_x = _variances_of_one(x, y, terms_of_x)
    of_y = _variances_of_one(y, x, terms_of_y)
    return {name: of_x[name] + of_y[name] for name in PARTS}


class _Terms(NamedTuple):
    """N times the derivatives by each sample's weight, up to constants, float64 [N].

    mean    of the squared distance of the means
    length  of the trace of the covariance: the squared lengths
    root    of tr (S1 S2)^(1/2)
    """

    mean: Tensor
    length: Tensor
    root: Tensor


def _terms(x: _Set, offset: Tensor, transport: Tensor | None = None) -> _Terms:
    """Take the derivatives in one look at the samples of x.

    offset     the mean of x less that of the other set, [D]
    transport  the map T from x to the other set, [D, D]; None: the last derivatives are not taken

    The last ones are x' T x / 2, times N / (N - 1). They are taken as |x|^2 - x' (I - T) x, so that
    products in float32 cost no digits of what little is left where T is nearly the identity.
    """
    means = []
    lengths = []
    changes = []
    if transport is not None:
        identity = torch.eye(len(transport), dtype=transport.dtype)
        change = doubled_above(identity - transport)

    for rows in x.centred():
        means.append(2 * (rows @ offset))
        lengths.append(rows.square().sum(1))
        if transport is not None:
            changes.append(quadratic_forms(rows.to(change.dtype), change))

    length = torch.cat(lengths)
    root = torch.zeros(0)
    if transport is not None:
        n = x.moments.n
        root = (length - torch.cat(changes)) * n / (n - 1) / 2
    return _Terms(torch.cat(means), length, root)


def _variances_of_one(x: _Set, other: _Set, terms: _Terms) -> dict[str, float]:
    """Return what redrawing the set x contributes to the variance of each metric."""
    trace = float(x.moments.covariance.trace())
    other_trace = float(other.moments.covariance.trace())
    ratio = 0.0
    if trace > 0:
        ratio = math.sqrt(other_trace / trace)

    derivatives = {
        "fid": terms.mean + terms.length - 2 * terms.root,
        "mean": terms.mean,
        "variance": terms.length * (1 - ratio),
        "rest": ratio * terms.length - 2 * terms.root,
    }
    return {name: float(each.var()) / x.moments.n for name, each in derivatives.items()}


def _singular_root_derivatives(x: _Set, y: _Set) -> tuple[Tensor, Tensor]:
    """Return N times the derivative of tr (S1 S2)^(1/2) by each sample's weight, at any rank.

    They are float64 [N] and [M].
    """
    n = x.moments.n
    m = y.moments.n

    # A = Q R, so that only a small product is decomposed: A1 A2' = Q1 (R1 R2') Q2'.
    x_basis, x_factor = torch.linalg.qr(torch.cat(list(x.centred())) / (n - 1) ** 0.5)
    y_basis, y_factor = torch.linalg.qr(torch.cat(list(y.centred())) / (m - 1) ** 0.5)
    left, values, right = torch.linalg.svd(x_factor @ y_factor.T, full_matrices=False)

    of_x = (x_basis @ left).square() @ values
    of_y = (y_basis @ right.T).square() @ values
    return of_x * n / 2, of_y * m / 2
