"""The synthetic samples that lie closest to real training samples, and copies among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from imglab.measure import Measure
from imglab.metrics.memorization import nearest_distances, nearest_samples
from imglab.metrics.rows import HashedRows
from imglab.metrics.undefined import Undefined
from imglab.samples import Samples
from imglab.studies.score.sides import Side

LISTED = 12
"""Pairs that are listed."""


@dataclass(frozen=True)
class Closest:
    """The closest pairs, and how many samples are suspiciously close.

    samples, real  the synthetic and the real training samples of the pairs, [K, ...]
    pairs          for each pair the names of both, their distance, and whether they are identical
    nearer         synthetic samples that are nearer to the training set than every held-out one
    by_chance      how many of them to expect of a model that copies nothing
    held_out       synthetic samples identical to a held-out one
    """

    samples: Samples
    real: Samples
    pairs: Sequence[dict[str, Any]]
    nearer: int = 0
    by_chance: float = 0.0
    held_out: int = 0

    def described(self) -> dict[str, Any]:
        """Return what scores.json says of it."""
        return {
            "nearer_than_held_out": self.nearer,
            "nearer_than_held_out_by_chance": self.by_chance,
            "identical_to_held_out": self.held_out,
            "closest": list(self.pairs),
        }


def find_closest(
    measure: Measure, samples: Samples, features: Tensor, *, names: Sequence[str], side: Side
) -> Closest:
    """Find the pairs of a synthetic and a real training sample that are closest.

    samples, features  what is scored, and its features, float32 [N, D]
    names              of the samples
    side               the real side, which may name its samples' files
    """
    train = measure.modality.real("train")
    held_out = measure.modality.real("test")
    try:
        distances = nearest_distances(train=measure.real("train"), synthetic=features)
        of_held_out = nearest_distances(train=measure.real("train"), synthetic=measure.real("test"))
    except Undefined:
        return Closest(samples[:0], train[:0], [])

    rows = distances.argsort(stable=True)[:LISTED]
    index, distance = nearest_samples(train=measure.real("train"), synthetic=features[rows], k=1)
    real = train[index[:, 0]]
    pairs = [
        {
            "synthetic": names[int(row)],
            "real": _name(real.data[number], int(index[number, 0]), side),
            "distance": float(distance[number, 0]),
            "identical": torch.equal(samples.data[row], real.data[number]),
        }
        for number, row in enumerate(rows)
    ]
    return Closest(
        samples[rows],
        real,
        pairs,
        nearer=int((distances < of_held_out.min()).sum()),
        by_chance=len(samples) / (len(held_out) + 1),
        held_out=_identical(samples.data, held_out.data),
    )


def _identical(data: Tensor, others: Tensor) -> int:
    """Count the rows of `data` that equal some row of `others`, byte by byte."""
    return int(HashedRows.of(others).contain(data).sum())


def _name(image: Tensor, row: int, side: Side) -> str:
    """Return the file of a real training image, or its row where it has none."""
    if side.files and side.images is not None:
        images = side.images.joined().images
        matches = (images == image).flatten(1).all(1).nonzero()
        if len(matches):
            return side.files[int(matches[0, 0])]
    return f"row {row} of the training part"
