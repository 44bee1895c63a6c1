"""Known damage that any kind of data can suffer: what is left out, repeated, copied or replaced.

Metrics are calibrated by it (`imglab.studies.calibration`). Every function draws n samples from a
pool of real ones, and raises ValueError where the pool does not allow it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from imglab import seeds
from imglab.metrics.neighbours import kth_squared_distance
from imglab.metrics.points import in_one_frame
from imglab.samples import Samples

MOST_DROPPED = 0.4
"""Share of a pool that is left out at strength 1. A pool is at least twice as large as what is
drawn from it, so that enough different samples remain."""

MOST_REPEATED = 0.9
"""Share of the samples that are repeats of others at strength 1."""

NEIGHBOURS = 5
"""Which nearest neighbour says how thin a region is."""


def draw(pool: Samples, n: int, *, seed: int) -> Samples:
    """Draw n different samples from a pool."""
    if n > len(pool):
        raise ValueError(f"{n} samples are needed, {len(pool)} are left")
    order = torch.randperm(len(pool), generator=seeds.generator(seed, "draw"))
    return pool[order[:n]]


def draw_without(pool: Samples, n: int, *, dropped: Tensor, seed: int) -> Samples:
    """Draw n different samples from those of a pool that are not dropped.

    dropped  bool [N]
    """
    return draw(pool[(~dropped).nonzero().flatten()], n, seed=seed)


def repeated(pool: Samples, n: int, *, strength: float, seed: int) -> Samples:
    """Draw fewer different samples, and repeat each of them about as often as the others.

    At strength 1 a tenth of the n samples are different.
    """
    distinct = max(1, round(n * (1 - MOST_REPEATED * strength)))
    return draw(pool, distinct, seed=seed)[torch.arange(n) % distinct]


def partly_replaced(pool: Samples, n: int, *, others: Samples, share: float, seed: int) -> Samples:
    """Draw n samples, a share of which comes from `others`, which repeat where they are too few."""
    count = round(share * n)
    order = torch.randperm(len(others), generator=seeds.generator(seed, "others"))
    rows = order[torch.arange(count) % len(others)]
    return Samples.concatenate([draw(pool, n - count, seed=seed), others[rows]])


def mixed(others: Samples, pool: Samples, n: int, *, strength: float, seed: int) -> Samples:
    """Draw n samples, a share `strength` of which are of another set, as they are."""
    return partly_replaced(pool, n, others=others, share=strength, seed=seed)


def thinnest(points: Tensor, share: float) -> Tensor:
    """Say which points lie in the thinnest regions, by the distance of the 5th neighbour: bool [N].

    points  float [N, D]
    share   of the points that is marked, rounded down
    """
    (unique,) = in_one_frame(points)
    if len(points) <= NEIGHBOURS:
        raise ValueError(f"a density needs more than {NEIGHBOURS} samples, there are {len(points)}")

    (radius,) = kth_squared_distance(unique, (NEIGHBOURS,))
    order = radius[unique.inverse].argsort(descending=True, stable=True)
    marked = torch.zeros(len(points), dtype=torch.bool)
    marked[order[: int(share * len(points))]] = True
    return marked


def rarest(groups: Tensor, share: float) -> Tensor:
    """Say which samples belong to the rarest groups, which hold at most a share of all: bool [N].

    groups  int64 [N]; the rarest group is always marked, unless it is the only one (ValueError)
    """
    _, inverse, counts = torch.unique(groups, return_inverse=True, return_counts=True)
    if len(counts) < 2:
        raise ValueError("there is only one group of samples")

    order = counts.argsort(stable=True)
    marked = counts[order].cumsum(0) <= share * len(groups)
    marked[0] = True
    return torch.isin(inverse, order[marked])
