"""All distribution metrics between disjoint random parts of one set of real samples: the floors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor

from imglab.metrics.comparison import Reference, compare


def split_scores(
    pool: Tensor,
    *,
    n_real: int,
    n_synthetic: int,
    orders: Iterable[Tensor],
    precision_recall_k: int,
    density_coverage_k: int,
) -> Iterator[dict[str, Any]]:
    """Yield every metric of `DISTRIBUTION` for each split of a pool of real features.

    pool    float [P, D], P >= n_real + n_synthetic
    orders  permutations of the pool, int64 [P]: the first `n_real` samples stand for the real ones,
            the next `n_synthetic` for the synthetic ones

    A metric that is undefined at these sizes is None.
    """
    for order in orders:
        scores = compare(
            real=Reference(pool[order[:n_real]]),
            synthetic=pool[order[n_real : n_real + n_synthetic]],
            precision_recall_k=precision_recall_k,
            density_coverage_k=density_coverage_k,
        )
        yield scores.values
