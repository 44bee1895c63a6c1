"""Standard errors of the distribution metrics over redrawn real AND synthetic sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from imglab.metrics.pairwise import MOST, SCALARS, Distances, neighbour_scores
from imglab.metrics.probabilistic import K
from imglab.metrics.tails import TENTHS
from imglab.metrics.undefined import check_features
from imglab.seeds import generator

PARTITIONS = 50
"""Random pairs of halves; the error of a standard error is about 10%."""

LIST = 64
"""Nearest neighbours that are ordered for each sample."""


def neighbour_errors(
    *, real: Tensor, synthetic: Tensor, precision_recall_k: int, density_coverage_k: int
) -> dict[str, float | None]:
    """Return the standard error of each metric of `SCALARS`.

    real, synthetic  float [N, D] and [M, D], each at least 2 (k + 1) samples, else `Undefined`

    Both sets are cut at random into two halves, and the first halves are scored against each
    other, and the second. The two scores are independent draws of the metric at half the sizes,
    so half their squared difference has the variance at half the sizes as its expectation,
    whatever the metric. Half of that is the variance at the sizes themselves, as far as variance
    goes with 1/N. It is averaged over 50 such cuts.

    A jackknife would be wrong here: a metric of nearest neighbours is a sum of terms of several
    samples each, and a jackknife counts a term of j samples j times (Efron and Stein 1981). A
    standard error of the mean over one set is wrong, too: it leaves out the other set's draw, and
    that neighbours share balls.

    Sets of more than 6,000 samples in all are thinned at random in proportion, and the errors
    scaled by the root of the share, so time and memory are those of 6,000^2 distances at most. An
    error is None where recall is withheld in most halves.
    """
    most = max(precision_recall_k, density_coverage_k, K, TENTHS - 1)
    check_features(real=real, synthetic=synthetic, at_least=2 * (most + 1))
    share = min(1.0, MOST / (len(real) + len(synthetic)))
    n = int(share * len(real))
    m = int(share * len(synthetic))
    distances = Distances.of(_pool(real, synthetic, n, m), neighbours=LIST)

    keys = {"precision_recall_k": precision_recall_k, "density_coverage_k": density_coverage_k}
    squares = _squared_differences(
        neighbour_scores(distances, real=real, synthetic=synthetic, **keys)
        for real, synthetic in _halves(n, m)
    )
    return {name: _error(each, share) for name, each in squares.items()}


@lru_cache(maxsize=4)
def _halves(n: int, m: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return `PARTITIONS` pairs of disjoint halves of n real samples and of m synthetic ones.

    Each of the two has its real samples and its synthetic ones, int64 [PARTITIONS, n // 2] and
    [PARTITIONS, m // 2]; the synthetic ones count from n.
    """
    reals = []
    synthetics = []
    for number in range(PARTITIONS):
        random = generator("halves", number)
        reals.append(torch.randperm(n, generator=random))
        synthetics.append(n + torch.randperm(m, generator=random))

    real = torch.stack(reals).split(n // 2, dim=1)
    synthetic = torch.stack(synthetics).split(m // 2, dim=1)
    return (real[0], synthetic[0]), (real[1], synthetic[1])


def _pool(real: Tensor, synthetic: Tensor, n: int, m: int) -> Tensor:
    """Return the features of n real and m synthetic samples, [n + m, D]."""
    return torch.cat([_thinned(real, n, "real"), _thinned(synthetic, m, "synthetic")])


def _thinned(features: Tensor, size: int, name: str) -> Tensor:
    if size == len(features):
        return features
    order = torch.randperm(len(features), generator=generator("thinned", name))
    return features[order[:size]]


def _squared_differences(
    halves: Iterable[Iterable[Mapping[str, Any]]],
) -> dict[str, list[float]]:
    """Return the squared differences of each metric between halves, where both have it.

    halves  the metrics of the first halves, cut by cut, and of the second ones
    """
    squares: dict[str, list[float]] = {name: [] for name in SCALARS}
    for first, second in zip(*halves, strict=True):
        for name in SCALARS:
            one = first[name]
            other = second[name]
            if one is not None and other is not None:
                squares[name].append((one - other) ** 2)
    return squares


def _error(squares: list[float], share: float) -> float | None:
    """Return the standard error, from squared differences between halves."""
    if len(squares) < PARTITIONS / 2:
        return None
    at_half = sum(squares) / len(squares) / 2
    return float((at_half / 2 * share) ** 0.5)
