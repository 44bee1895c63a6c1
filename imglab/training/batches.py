"""Which samples a step of a fit trains on."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

import torch
from torch import Tensor

from imglab import distributed, seeds
from imglab.errors import InputError, Problem
from imglab.samples import Samples, TrainingSet
from imglab.training.devices import device

HELD = 1 / 8
"""Largest share of a device's memory that a training set may take there as one tensor.

Larger sets stay where they are, memory-mapped, and are read batch by batch."""

WEIGHT = "weight"
"""Name of the column that says how much each example of a batch counts, where some are weighted."""


def check_batch(n: int) -> None:
    """Raise InputError unless every process gets at least one example of a batch of n."""
    processes = distributed.world_size()
    if n < processes:
        what = f"a batch of {n} cannot be shared out to {processes} processes"
        remedy = f"at least {processes}; model.fine_tuning.batch too"
        raise InputError(Problem("model.training.batch", what, remedy))


class Batches:
    """Batches by step: permutations of the training set, one after the other, by (seed, epoch).

    With `join` above 1 an example is that many successive samples, and the place where the first
    one begins moves from epoch to epoch. A batch then has `join` rows for each example, in order.
    """

    def __init__(self, train: TrainingSet, size: int, seed: int, *, join: int = 1) -> None:
        self._train = train
        self._size = size
        self._seed = seed
        self._join = join
        self._orders: dict[int, Tensor] = {}

        place = device()
        self._held: Samples | None = None
        if train.nbytes < HELD * _memory(place):
            self._held = _to(place, train.all())

    @property
    def examples(self) -> int:
        """How many examples an epoch has."""
        return max(1, len(self._train) // self._join)

    def __getitem__(self, step: int) -> Samples:
        """Return the samples of a step's examples; a batch may reach into the next epochs."""
        rows = self._rows(step)
        if self._held is None:
            return self._train.rows(rows.flatten())
        return self._held[rows.flatten()]

    def weighted(self, batch: Mapping[str, Tensor], step: int) -> Mapping[str, Tensor]:
        """Add the weights of a step's examples where the training set has some, float32 [size].

        An example of several samples has the mean of their weights.
        """
        if self._train.weights is None:
            return batch
        weights = self._train.weights[self._rows(step)].mean(1).float()
        return {**batch, WEIGHT: weights.to(device())}

    def _rows(self, step: int) -> Tensor:
        """Return the rows of a step's examples, int64 [size, join]."""
        first = step * self._size
        places = torch.arange(first, first + self._size)
        epochs = places // self.examples

        starts = []
        for epoch in torch.unique(epochs).tolist():
            starts.append(self._order(epoch)[places[epochs == epoch] % self.examples])
        return (torch.cat(starts)[:, None] + torch.arange(self._join)) % len(self._train)

    def _order(self, epoch: int) -> Tensor:
        """Return the first rows of the examples of an epoch, int64 [examples]."""
        if epoch in self._orders:
            return self._orders[epoch]

        generator = seeds.generator(self._seed, "epoch", epoch)
        order = torch.randperm(self.examples, generator=generator) * self._join
        if self._join > 1:
            order += torch.randint(self._join, (1,), generator=generator)

        # A batch needs at most the order of its epoch and of the one before.
        before = {last: orders for last, orders in self._orders.items() if last == epoch - 1}
        self._orders = {**before, epoch: order}
        return order


def _to(place: torch.device, samples: Samples) -> Samples:
    """Return samples whose data and conditions are on a device."""
    condition = samples.condition
    if condition is not None:
        condition = condition.to(place)
    return Samples(samples.data.to(place), condition, samples.origin, samples.source)


def _memory(place: torch.device) -> int:
    """Return how many bytes of memory a device has; 8 GiB where the system does not say."""
    if place.type == "cuda":
        return int(torch.cuda.mem_get_info(place)[1])
    if sys.platform == "win32":
        return 8 << 30
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
