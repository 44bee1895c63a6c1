"""Dropping near-duplicates."""

from __future__ import annotations

import torch
from torch import Tensor

from imglab.curation.context import Context
from imglab.errors import InputError, Problem
from imglab.metrics.neighbours import kth_squared_distance
from imglab.metrics.points import in_one_frame
from imglab.samples import Samples

BLOCK = 512
"""Samples that are compared with each other at a time."""


def duplicates(samples: Samples, context: Context, *, distance: float) -> Tensor:
    """Drop each sample that is nearer to an earlier, accepted one than `distance`.

    The unit is the real training set's median distance to the nearest other sample; 0 drops exact
    repeats only.
    """
    if len(context.real) < 2:
        what = "its unit needs two real training samples"
        raise InputError(Problem("curate.distance", what, "add some"))

    (real,) = in_one_frame(context.real)
    nearest = kth_squared_distance(real, (1,))[0][real.inverse]
    unit = float(nearest.median().sqrt()) / real.frame.scale

    features = context.features.double()
    radius = distance * unit
    accepted: list[int] = []
    for start in range(0, len(features), BLOCK):
        block = features[start : start + BLOCK]
        free = torch.ones(len(block)).bool()
        if accepted:
            free = ~_near(block, features[accepted], radius).any(1)

        # Within the block each accepted sample takes those after it that are too near.
        near = _near(block, block, radius)
        for row in range(len(block)):
            if free[row]:
                accepted.append(start + row)
                free[row + 1 :] &= ~near[row, row + 1 :]
    return torch.tensor(accepted)


def _near(one: Tensor, two: Tensor, radius: float) -> Tensor:
    """Say which rows [N, D] and [M, D] are near each other, bool [N, M]."""
    distance = torch.cdist(one, two, compute_mode="donot_use_mm_for_euclid_dist")
    if radius == 0:
        return distance == 0
    return distance < radius
