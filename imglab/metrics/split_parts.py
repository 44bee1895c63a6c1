"""Many random splits of one pool: which samples are real in a split, and which synthetic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

REAL = 1
SYNTHETIC = 2


@dataclass(frozen=True)
class SplitParts:
    """S splits of a pool of P samples into N real ones, M synthetic ones, and the rest.

    order   the samples of both parts, the real ones first, int32 [S, N + M]
    member  the part of each sample in each split, uint8 [P, S]: `REAL`, `SYNTHETIC`, or 0
    n, m    the sizes of the parts
    """

    order: Tensor
    member: Tensor
    n: int
    m: int

    @classmethod
    def of(cls, orders: Iterable[Tensor], size: int, n: int, m: int) -> SplitParts:
        """Read the splits from permutations of `size` samples, int64 [size]."""
        order = torch.stack([each[: n + m].to(torch.int32) for each in orders])
        member = torch.zeros(size, len(order), dtype=torch.uint8)
        for column, each in enumerate(order):
            member[each[:n].long(), column] = REAL
            member[each[n:].long(), column] = SYNTHETIC
        return cls(order, member, n, m)

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the real samples and the synthetic ones of each split, int64 [N] and [M]."""
        return (self.samples(number) for number in range(len(self)))

    def samples(self, number: int) -> tuple[Tensor, Tensor]:
        """Return the real samples and the synthetic ones of a split, int64 [N] and [M]."""
        real, synthetic = self.order[number].long().split([self.n, self.m])
        return real, synthetic

    def mean_of_synthetic(self, values: Tensor) -> Tensor:
        """Return the mean of values, float64 [P], over each split's synthetic samples, [S]."""
        means = [values[self.samples(number)[1]].mean() for number in range(len(self))]
        return torch.stack(means)

    def batches(self, size: int) -> Iterator[SplitParts]:
        """Yield the splits, so many at a time."""
        for order, member in zip(self.order.split(size), self.member.split(size, 1), strict=True):
            yield SplitParts(order, member.contiguous(), self.n, self.m)

    def columns(self, rows: Tensor | slice, dtype: torch.dtype) -> Tensor:
        """Return 1 where one of these samples is real, then where it is synthetic, [B, 2 S]."""
        member = self.member[rows]
        return torch.cat([member == REAL, member == SYNTHETIC], 1).to(dtype)
