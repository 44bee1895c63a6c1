"""All pairwise distances of one set of samples, kept to score many pairs of its subsets quickly.

The functions of `prdc`, `bounded`, `probabilistic` and `tails` decide each comparison exactly and
keep no matrix. Here the distances of P samples are taken once, in float64, and kept in float32: 4
P^2 bytes. A score from them can differ by the few comparisons that float32 leaves open.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from imglab.metrics.bounded import bounds_of_radii, why_recall_is_withheld
from imglab.metrics.points import rounded_distances
from imglab.metrics.probabilistic import STRETCH, K, outside
from imglab.metrics.tails import TENTHS

MOST = 6000
"""Samples whose distances are kept: 144 MB."""

ROWS = 256
"""Rows whose distances are taken at a time."""

ENTRIES = 1 << 18
"""Distances of pairs of subsets that are looked at together: 1 MB."""

LONG = 3
"""How many times as long as a list of neighbours with k members is on average."""

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
        values = features.to(torch.float64, copy=True)
        del features  # of which the caller need not keep a copy either
        values -= values.mean(0)
        matrix = torch.empty(len(values), len(values))
        for start in range(0, len(values), ROWS):
            rows = slice(start, start + ROWS)
            block = rounded_distances(values[rows], values[start:]).sqrt_()
            matrix[rows, start:] = block
            matrix[start:, rows] = block.T

        neighbour = torch.empty(len(values), min(neighbours, len(values) - 1), dtype=torch.int64)
        for start in range(0, len(values), ROWS):
            part = matrix[start : start + ROWS].clone()
            part.diagonal(start).fill_(torch.inf)
            nearest = part.topk(neighbour.shape[1], largest=False)
            neighbour[start : start + ROWS] = nearest.indices
        return cls(matrix, neighbour)

    def between(self, members: Tensor, others: Tensor) -> Tensor:
        """Return the distances of B sets of members to B sets of others, float32 [B, N, M].

        members, others  which samples, int64 [B, N], [B, M]
        """
        # One list of positions is read several times as fast as rows and then columns.
        flat = self.matrix.view(-1)
        blocks = torch.empty(*members.shape, others.shape[1])
        for block, row, column in zip(blocks, members, others, strict=True):
            positions = row[:, None] * len(self.matrix) + column
            torch.index_select(flat, 0, positions.view(-1), out=block.view(-1))
        return blocks

    def radii(self, members: Tensor, ks: tuple[int, ...]) -> Tensor:
        """Return each member's distance to its k-th nearest other member, [len(ks), B, N].

        members  which samples belong to each of B sets, int64 [B, N], each once; N > max(ks)
        """
        is_member = torch.zeros(len(members), len(self.matrix), dtype=torch.bool)
        is_member.scatter_(1, members, True)

        # Count members along each list of neighbours. A list may end before the last k: three times
        # what it takes on average is enough, with few exceptions.
        length = 1 + LONG * max(ks) * len(self.matrix) // members.shape[1]
        neighbour = self.neighbour[:, :length][members]  # [B, N, L]
        flags = is_member.gather(1, neighbour.flatten(1)).view_as(neighbour)
        counts = flags.cumsum(2, dtype=torch.int16)
        radii = torch.empty(len(ks), *members.shape)
        for row, k in enumerate(ks):
            position = (counts < k).sum(2, keepdim=True).clamp_(max=neighbour.shape[2] - 1)
            nearest = neighbour.gather(2, position).squeeze(2)
            radii[row] = self.matrix[members, nearest]

        self._search_all(radii, members, ks, counts[:, :, -1] < max(ks))
        return radii

    def _search_all(
        self, radii: Tensor, members: Tensor, ks: tuple[int, ...], is_short: Tensor
    ) -> None:
        """Fill in the radii of members whose lists are too short, [B, N] flags of them."""
        for number in is_short.any(1).nonzero().flatten().tolist():
            short = is_short[number]
            distances = self.matrix[members[number][short]].index_select(1, members[number])
            nearest_first = distances.topk(max(ks) + 1, largest=False).values
            radii[:, number, short] = nearest_first[:, list(ks)].T  # the first is the sample itself


def neighbour_scores(
    distances: Distances,
    *,
    real: Tensor,
    synthetic: Tensor,
    precision_recall_k: int,
    density_coverage_k: int,
) -> Iterator[dict[str, Any]]:
    """Yield the metrics of `NEIGHBOURS` for each of B pairs of disjoint subsets.

    real, synthetic  which samples, int64 [B, N], [B, M]

    All are None if one of them is undefined at these sizes (fewer than 10 real samples, no more
    than k of either kind). A recall that must be withheld is None.
    """
    most = max(precision_recall_k, density_coverage_k, K)
    if real.shape[1] <= max(most, TENTHS - 1) or synthetic.shape[1] <= most:
        yield from (dict.fromkeys(NEIGHBOURS) for _ in real)
        return

    # As many pairs at a time as fit into a processor's cache. Sorted indices are gathered faster.
    at_once = max(1, ENTRIES // (real.shape[1] * synthetic.shape[1]))
    reals = real.sort(1).values.split(at_once)
    synthetics = synthetic.sort(1).values.split(at_once)
    ks = (precision_recall_k, density_coverage_k)
    for pair in zip(reals, synthetics, strict=True):
        yield from _scores(distances, *pair, *ks)


def _scores(
    distances: Distances, real: Tensor, synthetic: Tensor, narrow_k: int, wide_k: int
) -> Iterator[dict[str, Any]]:
    """Yield what `neighbour_scores` does for pairs that are looked at together."""
    cross = distances.between(real, synthetic)  # [B, N, M]
    narrow, wide, support = distances.radii(real, (narrow_k, wide_k, K))
    other_narrow, other_support = distances.radii(synthetic, (narrow_k, K))
    limits = bounds_of_radii(narrow)

    is_recalled = _reached(cross, other_narrow[:, None, :], 2)
    is_covered = cross.amin(2) <= wide
    order = wide.argsort(dim=1, descending=True, stable=True)
    bounded = narrow.minimum(limits)[:, :, None]
    other_bounded = other_narrow.minimum(limits)[:, None, :]
    pairs = wide_k * synthetic.shape[1]
    scores: dict[str, list[Any]] = {
        "precision": _shares(_reached(cross, narrow[:, :, None], 1)),
        "recall": _shares(is_recalled),
        "precision_bounded": _shares(_reached(cross, bounded, 1)),
        "recall_bounded": _shares(_reached(cross, other_bounded, 2)),
        "precision_probabilistic": _supported(cross, support, 1),
        "recall_probabilistic": _supported(cross, other_support, 2),
        "density": [count / pairs for count in _counts(cross, wide)],
        "coverage": _shares(is_covered),
        "recall_by_decile": _tenths(is_recalled, order),
        "coverage_by_decile": _tenths(is_covered, order),
    }
    for values in zip(*scores.values(), strict=True):
        yield _without_outliers(dict(zip(scores, values, strict=True)))


def _without_outliers(scores: dict[str, Any]) -> dict[str, Any]:
    """Take out a recall that must be withheld."""
    if why_recall_is_withheld(precision=scores["precision"], coverage=scores["coverage"]):
        return {**scores, "recall": None, "recall_by_decile": None}
    return scores


def _reached(cross: Tensor, radii: Tensor, dim: int) -> Tensor:
    """Say which samples lie in some ball of the samples along `dim`."""
    return (cross - radii).amin(dim) <= 0


def _shares(flags: Tensor) -> list[float]:
    """Return the mean of each row of flags [B, N]."""
    shares: list[float] = flags.double().mean(1).tolist()
    return shares


def _tenths(flags: Tensor, order: Tensor) -> list[list[float]]:
    """Return the means of each row of flags [B, N], in each tenth of the samples in its order."""
    parts = torch.tensor_split(flags.gather(1, order), TENTHS, dim=1)
    tenths: list[list[float]] = torch.stack([part.double().mean(1) for part in parts], 1).tolist()
    return tenths


def _supported(cross: Tensor, radii: Tensor, dim: int) -> list[float]:
    """Return the mean probabilities that the samples along `dim` support one of the others."""
    radius = STRETCH * radii.double().mean(1)
    if not bool(radius.all()):
        # A set whose radius is 0 has a rule of its own.
        blocks = zip(cross, radius.tolist(), strict=True)
        missing = torch.stack([outside(block, each, dim - 1) for block, each in blocks])
    else:
        ratios = cross / radius[:, None, None].float()
        missing = ratios.clamp_(max=1).prod(dim)
    return [1 - mean for mean in missing.double().mean(1).tolist()]


def _counts(cross: Tensor, radii: Tensor) -> list[int]:
    """Count the pairs inside a ball of a row, in each block."""
    counts: list[int] = (cross <= radii[:, :, None]).sum((1, 2)).tolist()
    return counts
