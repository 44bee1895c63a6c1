"""All pairwise distances of one set of samples, kept to score many pairs of its subsets quickly.

The functions of `prdc`, `bounded`, `probabilistic` and `tails` decide each comparison exactly and
keep no matrix. Here the distances of P samples are taken once, in float64, and kept in float32: 4
P^2 bytes. A score from them can differ by the few comparisons that float32 leaves open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from imglab.metrics.bounded import bound_of_radii, why_recall_is_withheld
from imglab.metrics.points import rounded_distances
from imglab.metrics.probabilistic import STRETCH, K, outside
from imglab.metrics.tails import TENTHS, tenths, thinnest_first

MOST = 6000
"""Samples whose distances are kept: 144 MB."""

ROWS = 512
"""Rows whose distances are taken at a time."""

SCALARS = (
    "precision",
    "recall",
    "precision_bounded",
    "recall_bounded",
    "precision_probabilistic",
    "recall_probabilistic",
    "density",
    "coverage",
)
"""The metrics of distances that are one number."""

NEIGHBOURS = (*SCALARS, "recall_by_decile", "coverage_by_decile")
"""All metrics that come from distances."""


@dataclass(frozen=True)
class Distances:
    """The distances of P samples to each other.

    matrix     float32 [P, P], symmetric
    neighbour  the nearest other samples of each sample, nearest first, int64 [P, L]
    """

    matrix: Tensor
    neighbour: Tensor

    @classmethod
    def of(cls, features: Tensor, *, neighbours: int) -> Distances:
        """Take the distances of features [P, D], and order the nearest `neighbours` of each."""
        values = features.double()
        values = values - values.mean(0)
        matrix = torch.empty(len(values), len(values))
        neighbour = torch.empty(len(values), min(neighbours, len(values) - 1), dtype=torch.int64)
        for start in range(0, len(values), ROWS):
            rows = slice(start, start + ROWS)
            matrix[rows] = rounded_distances(values[rows], values).sqrt_()

            part = matrix[rows].clone()
            part.diagonal(start).fill_(torch.inf)
            nearest = part.topk(neighbour.shape[1], largest=False)
            neighbour[rows] = nearest.indices
        return cls(matrix, neighbour)

    def radii(self, members: Tensor, ks: tuple[int, ...]) -> Tensor:
        """Return each member's distance to its k-th nearest other member, [len(ks), N].

        members  which samples, int64 [N], each once; N > max(ks)
        """
        is_member = torch.zeros(len(self.matrix), dtype=torch.bool)
        is_member[members] = True

        # Count members along each list of neighbours. A list may end before the last k.
        neighbour = self.neighbour[members]
        counts = is_member[neighbour].cumsum(1)  # [N, L]
        radii = torch.empty(len(ks), len(members))
        for row, k in enumerate(ks):
            position = (counts < k).sum(1, keepdim=True).clamp_(max=neighbour.shape[1] - 1)
            nearest = neighbour.gather(1, position).squeeze(1)
            radii[row] = self.matrix[members, nearest]

        is_short = counts[:, -1] < max(ks)
        if bool(is_short.any()):
            distances = self.matrix[members[is_short]].index_select(1, members)
            nearest_first = distances.topk(max(ks) + 1, largest=False).values
            radii[:, is_short] = nearest_first[:, list(ks)].T  # the sample itself is the first
        return radii


def neighbour_scores(
    distances: Distances,
    *,
    real: Tensor,
    synthetic: Tensor,
    precision_recall_k: int,
    density_coverage_k: int,
) -> dict[str, Any]:
    """Return the metrics of `NEIGHBOURS` for two disjoint subsets.

    real, synthetic  which samples, int64 [N], [M]

    All are None if one of them is undefined at these sizes (fewer than 10 real samples, no more
    than k of either kind). A recall that must be withheld is None.
    """
    most = max(precision_recall_k, density_coverage_k, K)
    if len(real) <= max(most, TENTHS - 1) or len(synthetic) <= most:
        return dict.fromkeys(NEIGHBOURS)

    # Sorted indices are gathered several times faster.
    real = real.sort().values
    synthetic = synthetic.sort().values
    cross = distances.matrix.index_select(0, real).index_select(1, synthetic)  # [N, M]
    narrow, wide, support = distances.radii(real, (precision_recall_k, density_coverage_k, K))
    other_narrow, other_support = distances.radii(synthetic, (precision_recall_k, K))
    limit = bound_of_radii(narrow)

    is_recalled = _reached(cross, other_narrow, 1)
    is_covered = cross.amin(1) <= wide
    order = thinnest_first(wide)
    scores: dict[str, Any] = {
        "precision": _share(_reached(cross, narrow[:, None], 0)),
        "recall": _share(is_recalled),
        "precision_bounded": _share(_reached(cross, narrow.clamp(max=limit)[:, None], 0)),
        "recall_bounded": _share(_reached(cross, other_narrow.clamp(max=limit), 1)),
        "precision_probabilistic": _supported(cross, support, 0),
        "recall_probabilistic": _supported(cross, other_support, 1),
        "density": _count(cross, wide) / (density_coverage_k * len(synthetic)),
        "coverage": _share(is_covered),
        "recall_by_decile": tenths(is_recalled, order),
        "coverage_by_decile": tenths(is_covered, order),
    }
    if why_recall_is_withheld(precision=scores["precision"], coverage=scores["coverage"]):
        scores["recall"] = None
        scores["recall_by_decile"] = None
    return scores


def _reached(cross: Tensor, radii: Tensor, dim: int) -> Tensor:
    """Say which samples lie in some ball of the samples along `dim`."""
    return (cross - radii).amin(dim) <= 0


def _share(flags: Tensor) -> float:
    return float(flags.double().mean())


def _supported(cross: Tensor, radii: Tensor, dim: int) -> float:
    """Return the mean probability that the samples along `dim` support one of the others."""
    radius = STRETCH * float(radii.double().mean())
    return 1 - float(outside(cross, radius, dim).double().mean())


def _count(cross: Tensor, radii: Tensor) -> int:
    """Count the pairs inside a ball of a row."""
    return int(torch.count_nonzero(cross <= radii[:, None]))
