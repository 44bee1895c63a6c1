"""Standard errors of the Fréchet distance and its parts over redrawn real and synthetic sets."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from imglab.metrics.undefined import check_features
from imglab.seeds import generator

PARTS: tuple[str, ...] = ("fid", "mean", "variance", "rest")

CUTS = 6
"""Random cuts of the pooled samples that show what the errors are without any difference."""

WIDE = 256
"""Features beyond which one cut is enough: it averages over so many."""


def frechet_errors(*, real: Tensor, synthetic: Tensor) -> dict[str, float]:
    """Return the standard errors of the distance (`fid`), and of its three parts.

    real, synthetic  float [N, D], [M, D], each at least 3 samples, else `Undefined`

    It is the infinitesimal jackknife: each metric's derivative by the weight of each sample, for
    both sets, and the variances of the two add. With centred samples as rows of A, S = A' A, and
    A1 A2' = U diag(s) V', the trace of the root is the sum of s, and its derivative by the weight
    of synthetic sample i is V_i diag(s) V_i' / 2 (of a real one, with U). So one singular value
    decomposition gives it for all samples, at any rank.

    A jackknife counts the spread of pairs of samples twice, which is all there is where the
    distributions are equal. How much that is shows where there is no difference: in sets that are
    drawn at random from both together, once each has been centred. Half of what is counted there
    is taken off, and as much is left at least. With no more samples than features that fails for
    `fid` and `rest` (their spread is not one of pairs any more), and the jackknife stands as it
    is. Returns the keys fid, mean, variance and rest.
    """
    check_features(real=real, synthetic=synthetic, at_least=3)
    x = real.double()
    y = synthetic.double()
    variances = _variances(x, y)

    corrected = PARTS
    if min(len(x), len(y)) <= x.shape[1]:
        corrected = ("mean", "variance")
    pooled = torch.cat([x - x.mean(0), y - y.mean(0)])
    of_pairs = _variances_without_difference(pooled, len(x))
    for name in corrected:
        variances[name] = max(variances[name] - of_pairs[name] / 2, of_pairs[name] / 2)
    return {name: math.sqrt(variance) for name, variance in variances.items()}


def _variances_without_difference(pooled: Tensor, n: int) -> dict[str, float]:
    """Return the mean of the jackknife's variances over random cuts of a set at n."""
    cuts = CUTS
    if pooled.shape[1] > WIDE:
        cuts = 1
    means = dict.fromkeys(PARTS, 0.0)
    for number in range(cuts):
        order = torch.randperm(len(pooled), generator=generator("cut", number))
        mixed = pooled[order]
        for name, variance in _variances(mixed[:n], mixed[n:]).items():
            means[name] += variance / cuts
    return means


def _variances(x: Tensor, y: Tensor) -> dict[str, float]:
    """Return the jackknife's variance of each part over redrawn samples of both sets."""
    offset = y.mean(0) - x.mean(0)
    x = x - x.mean(0)
    y = y - y.mean(0)
    root_of_x, root_of_y = _root_derivatives(x, y)

    of_x = _variances_of_one(x, y, -offset, root_of_x)
    of_y = _variances_of_one(y, x, offset, root_of_y)
    return {name: of_x[name] + of_y[name] for name in PARTS}


def _variances_of_one(x: Tensor, other: Tensor, offset: Tensor, root: Tensor) -> dict[str, float]:
    """Return what redrawing the set x contributes to the variance of each metric.

    x, other  centred features [N, D], [M, D]
    offset    the mean of x less that of the other set, [D]
    root      derivative of the trace of the root by the weight of each sample of x, [N]
    """
    lengths = x.square().sum(1)  # derivative of tr S, up to a constant
    trace = float(lengths.sum()) / (len(x) - 1)
    other_trace = float(other.square().sum()) / (len(other) - 1)

    mean = 2 * x @ offset
    ratio = 0.0
    if trace > 0:
        ratio = math.sqrt(other_trace / trace)
    derivatives = {
        "fid": mean + lengths - 2 * root,
        "mean": mean,
        "variance": lengths * (1 - ratio),
        "rest": ratio * lengths - 2 * root,
    }
    return {name: float(each.var()) / len(x) for name, each in derivatives.items()}


def _root_derivatives(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return N times the derivative of tr (S1 S2)^(1/2) by each sample's weight, [N] and [M]."""
    # A = Q R, so that only a small product is decomposed: A1 A2' = Q1 (R1 R2') Q2'.
    x_basis, x_factor = torch.linalg.qr(x / (len(x) - 1) ** 0.5)  # [N, K], [K, D]
    y_basis, y_factor = torch.linalg.qr(y / (len(y) - 1) ** 0.5)
    left, values, right = torch.linalg.svd(x_factor @ y_factor.T, full_matrices=False)

    of_x = (x_basis @ left).square() @ values
    of_y = (y_basis @ right.T).square() @ values
    return of_x * len(x) / 2, of_y * len(y) / 2
