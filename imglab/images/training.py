"""What every image model's training shares: how many steps, how fast, on which images."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from imglab import seeds
from imglab.images.settings import TrainingSettings
from imglab.samples import TrainingSet

WARMUP = 0.05
GATHER_WHOLE = 1 << 30
"""Training sets below so many bytes are gathered into one tensor; larger ones are read batch by batch."""


def step_count(plan: TrainingSettings, n: int) -> int:
    """Return the steps that spend the budget on a training set of n images, at least one."""
    images = plan.epochs * n if plan.epochs else plan.images
    return max(1, round(images / plan.batch))


def learning_pace(done: float, plan: TrainingSettings) -> float:
    """Share of the learning rate at this share of the steps."""
    if done < WARMUP:
        return (done + 1e-3) / WARMUP
    if plan.decay == "none":
        return 1.0
    return 0.55 + 0.45 * math.cos(math.pi * (done - WARMUP) / (1 - WARMUP))


class Batches:
    """Batches by step: permutations of the training set, one after the other, each from (seed, epoch)."""

    def __init__(self, train: TrainingSet, size: int, seed: int) -> None:
        self._train = TrainingSet.of(train.all()) if train.nbytes < GATHER_WHOLE else train
        self._size, self._seed = size, seed
        self._orders: dict[int, Tensor] = {}

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor | None]:
        n, first = len(self._train), step * self._size
        places = torch.arange(first, first + self._size)
        epochs = places // n
        rows = torch.cat([self._order(epoch)[places[epochs == epoch] % n] for epoch in torch.unique(epochs).tolist()])
        batch = self._train.rows(rows)
        return batch.data, batch.condition

    def _order(self, epoch: int) -> Tensor:
        if epoch not in self._orders:
            kept = {last: order for last, order in self._orders.items() if last == epoch - 1}
            order = torch.randperm(len(self._train), generator=seeds.generator(self._seed, "epoch", epoch))
            self._orders = {**kept, epoch: order}
        return self._orders[epoch]
