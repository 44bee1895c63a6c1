"""Which member of a population draws a sample, or is trained on it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from imglab import seeds
from imglab.errors import InputError, Problem
from imglab.samples import TrainingSet

FEWEST = 2
"""Samples that a part has at least: one alone has no spread."""


def assign(shares: Sequence[float], n: int) -> Tensor:
    """Return which member draws each of samples 0 to n - 1, int64 [n].

    After any number of samples each member has drawn its share to within one sample: the next
    sample goes to the member that is furthest behind (the largest-deficit rule of apportionment).
    """
    behind = [0.0] * len(shares)
    drawer = []
    for _ in range(n):
        behind = [deficit + share for deficit, share in zip(behind, shares, strict=True)]
        furthest = max(range(len(shares)), key=behind.__getitem__)
        behind[furthest] -= 1
        drawer.append(furthest)
    return torch.tensor(drawer, dtype=torch.int64)


def count_before(drawer: Tensor, members: int) -> Tensor:
    """Return, for each sample, how many samples before it the same member draws, int64 [n]."""
    counts = torch.empty_like(drawer)
    for number in range(members):
        of_member = drawer == number
        counts[of_member] = torch.arange(int(of_member.sum()))
    return counts


def parts_of(train: TrainingSet, shares: Sequence[float], deal: int) -> list[TrainingSet]:
    """Return a part of a training set for each share, dealt at random by the seed `deal`.

    Every sample is in one part. Raises InputError where a part would have fewer than two.
    """
    check_parts(shares, len(train))
    drawer = assign(shares, len(train))
    order = torch.randperm(len(train), generator=seeds.generator(deal, "parts"))
    return [train.part(order[drawer == number].sort().values) for number in range(len(shares))]


def check_parts(shares: Sequence[float], n: int) -> None:
    """Raise InputError where a part of n training samples would have fewer than two."""
    # By then each share has come to two and the one that it may be behind.
    enough = math.ceil((FEWEST + 1) / min(shares))
    sizes = torch.bincount(assign(shares, min(n, enough)), minlength=len(shares))
    if int(sizes.min()) < FEWEST:
        what = f"{n} training samples are too few for {len(shares)} parts"
        remedy = f"at least {FEWEST} for each model, or train_on: pool"
        raise InputError(Problem("model.train_on", what, remedy))
