"""All distribution metrics between disjoint random parts of one set of real samples: the floors.

What a pair of parts has in common with the next is computed once for the whole pool: distances,
kernel and, where there are fewer samples than features, inner products. Of a pool that is too large
to keep them, `LargePool` keeps what all splits need of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from imglab.metrics import strips
from imglab.metrics.comparison import BETWEEN_SPLITS, MetricValues, compare_split
from imglab.metrics.frechet import FrechetParts, Moments, frechet_parts
from imglab.metrics.large_pool import LargePool
from imglab.metrics.pairwise import MOST, Distances, neighbour_scores
from imglab.metrics.rough_kernel import rough_kernel_distance
from imglab.metrics.split_gaussians import WHOLE
from imglab.metrics.split_parts import SplitParts
from imglab.metrics.standard import standardised
from imglab.metrics.vendi import vendi_score

BATCH = 25
"""Splits whose kernel sums are taken in one product."""


def split_scores(
    pool: Tensor,
    *,
    n_real: int,
    n_synthetic: int,
    orders: Iterable[Tensor],
    precision_recall_k: int,
    density_coverage_k: int,
    most: int = MOST,
    whole: int = WHOLE,
) -> Iterator[dict[str, Any] | None]:
    """Yield every metric of `BETWEEN_SPLITS` for each split of a pool of real features.

    pool    finite float [P, D], P >= n_real + n_synthetic
    orders  permutations of the pool, int64 [P]: the first `n_real` samples stand for the real ones,
            the next `n_synthetic` for the synthetic ones
    most    samples of a pool whose distances are kept
    whole   splits of a larger one whose Fréchet distance and Vendi score are not estimated

    A metric that is undefined at these sizes is None. Values agree with those of `compare` up to
    the rounding of float32. With more features than samples, most time goes into eigenvalues.
    A larger pool is a `LargePool`: None comes `steps_before` times first. If a part is too small a
    share of it, it is compared split by split.
    """
    if len(pool) < n_real + n_synthetic:
        raise ValueError(f"{n_real} + {n_synthetic} samples of a pool of {len(pool)}")
    parts = ((order[:n_real], order[n_real : n_real + n_synthetic]) for order in orders)

    ks = {"precision_recall_k": precision_recall_k, "density_coverage_k": density_coverage_k}
    if steps_before(len(pool), n_real, n_synthetic, ks, most):
        splits = SplitParts.of(orders, len(pool), n_real, n_synthetic)
        yield from LargePool(pool, splits, ks).scores(whole)
        return
    if len(pool) > most:
        yield from _scores_of(pool, parts, ks)
        return

    scorer = _Pool(pool, n_real, n_synthetic, ks)
    while batch := list(islice(parts, BATCH)):
        yield from scorer.scores(batch)


def steps_before(
    size: int, n_real: int, n_synthetic: int, ks: Mapping[str, int], most: int = MOST
) -> int:
    """Return how often `split_scores` yields None, before the scores of the first split."""
    if size <= most or not LargePool.fits(size, n_real, n_synthetic, ks):
        return 0
    return LargePool.steps(size)


def _scores_of(
    pool: Tensor, parts: Iterator[tuple[Tensor, Tensor]], ks: dict[str, int]
) -> Iterator[dict[str, Any]]:
    """Yield the scores of the splits of a large pool, each computed by one process."""
    while several := list(islice(parts, strips.processes())):
        jobs = [
            partial(_alone, pool=pool, real=real, synthetic=synthetic, **ks)
            for real, synthetic in several
        ]
        yield from (scores() for scores in strips.by_one_each(jobs))


def _alone(*, pool: Tensor, real: Tensor, synthetic: Tensor, **ks: int) -> dict[str, Any]:
    """Return the scores of one split of a pool."""
    return compare_split(real=pool[real], synthetic=pool[synthetic], **ks).values


class _Pool:
    """Features of P real samples, and what is computed of all pairs of them, once."""

    def __init__(self, features: Tensor, n_real: int, n_synthetic: int, ks: dict[str, int]) -> None:
        self.features = features
        self._values = features.double()
        self._ks = ks

        # So many neighbours hold k members of the smaller part, with few exceptions.
        share = min(n_real, n_synthetic) / len(features)
        self._distances = Distances.of(features, neighbours=int(3 * max(*ks.values(), 5) / share))

        # In place: a copy of all pairs in float64 would be the largest thing in a run's memory.
        products = self._values @ self._values.T
        self._kernel = products.div_(features.shape[1]).add_(1).pow_(3)
        self._kernel.fill_diagonal_(0)

        self._centred: Tensor | None = None
        if min(n_real, n_synthetic) <= features.shape[1]:
            centred = self._values - self._values.mean(0)
            self._centred = centred @ centred.T

    def scores(self, batch: list[tuple[Tensor, Tensor]]) -> Iterator[dict[str, Any]]:
        """Yield the metrics of each pair of parts."""
        distances = self._kernel_distances(batch)
        neighbours = neighbour_scores(
            self._distances,
            real=torch.stack([real for real, _ in batch]),
            synthetic=torch.stack([synthetic for _, synthetic in batch]),
            **self._ks,
        )
        for (real, synthetic), kernel_distance, of_neighbours in zip(
            batch, distances, neighbours, strict=True
        ):
            scores = MetricValues()
            self._add_others(scores, real, synthetic)
            scores.add(("kid",), partial(list, [kernel_distance]))
            yield {name: (scores.values | of_neighbours)[name] for name in BETWEEN_SPLITS}

    def _add_others(self, scores: MetricValues, real: Tensor, synthetic: Tensor) -> None:
        """Add the metrics that come neither from distances nor from the common kernel."""
        reals = self.features[real]
        synthetics = self.features[synthetic]

        def fid() -> list[float]:
            parts = self._frechet(real, synthetic)
            return [sum(parts), *parts]

        def kid_standard() -> list[float]:
            return [
                rough_kernel_distance(
                    real=standardised(reals, by=reals).float(),
                    synthetic=standardised(synthetics, by=reals).float(),
                )
            ]

        scores.add(("fid", "fid_mean", "fid_variance", "fid_rest"), fid)
        scores.add(("kid_standard",), kid_standard)
        scores.add(("vendi",), lambda: [vendi_score(synthetics)])

    def _frechet(self, real: Tensor, synthetic: Tensor) -> FrechetParts:
        """Return the parts of the Fréchet distance, from inner products where they are fewer."""
        if self._centred is None:
            return frechet_parts(
                real=Moments.of(self._values[real]),
                synthetic=Moments.of(self._values[synthetic]),
            )

        of_real = self._centred[real][:, real]
        of_synthetic = self._centred[synthetic][:, synthetic]
        cross = self._centred[real][:, synthetic]  # [N, M]
        mean = float(of_real.mean() + of_synthetic.mean() - 2 * cross.mean())
        real_variance = _variance(of_real)
        synthetic_variance = _variance(of_synthetic)

        # The trace of the root is the sum of the singular values of the centred cross products.
        cross = cross - cross.mean(0) - cross.mean(1, keepdim=True) + cross.mean()
        if len(cross) > cross.shape[1]:
            cross = cross.T
        values = torch.linalg.eigvalsh(cross @ cross.T).clamp(min=0)
        root = float(values.sqrt().sum()) / ((len(real) - 1) * (len(synthetic) - 1)) ** 0.5

        variance = (real_variance**0.5 - synthetic_variance**0.5) ** 2
        rest = max(0.0, 2 * ((real_variance * synthetic_variance) ** 0.5 - root))
        return FrechetParts(max(0.0, mean), variance, rest)

    def _kernel_distances(self, batch: list[tuple[Tensor, Tensor]]) -> list[float]:
        """Return the kernel distance of each pair of parts."""
        count = len(batch)
        members = torch.zeros(len(self.features), 2 * count, dtype=torch.float64)
        for column, (real, synthetic) in enumerate(batch):
            members[real, column] = 1
            members[synthetic, count + column] = 1

        sums = self._kernel @ members  # of each sample's kernel with each part, [P, 2 * count]
        reals = members[:, :count]
        synthetics = members[:, count:]
        n = reals.sum(0)
        m = synthetics.sum(0)
        within = (reals * sums[:, :count]).sum(0) / (n * (n - 1))
        within_synthetic = (synthetics * sums[:, count:]).sum(0) / (m * (m - 1))
        cross = (synthetics * sums[:, :count]).sum(0) / (n * m)
        distances: list[float] = (within + within_synthetic - 2 * cross).tolist()
        return distances


def _variance(products: Tensor) -> float:
    """Return the total variance of n samples, given their inner products [n, n]."""
    n = len(products)
    return float(products.trace() - products.sum() / n) / (n - 1)
