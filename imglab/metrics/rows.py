"""Rows that are compared byte by byte, through hashes: which rows of a set does another hold?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PART = 128
"""Rows that are hashed at a time."""


@dataclass(frozen=True)
class HashedRows:
    """Data [N, ...], and a hash of each row's bytes, ascending.

    data    the rows themselves
    hashes  int64 [N]
    order   which row each hash is of, int64 [N]
    """

    data: Tensor
    hashes: Tensor
    order: Tensor

    @classmethod
    def of(cls, data: Tensor) -> HashedRows:
        """Hash the rows of data of any dtype."""
        hashes, order = hash_rows(data).sort()
        return cls(data, hashes, order)

    def contain(self, data: Tensor) -> Tensor:
        """Say which rows of `data` equal some row of these, byte by byte, bool [M]."""
        hashes = hash_rows(data)
        first = torch.searchsorted(self.hashes, hashes)
        last = torch.searchsorted(self.hashes, hashes, right=True)

        # An equal hash is looked into: two different rows may have one.
        is_contained = torch.zeros(len(data), dtype=torch.bool)
        for row in (last > first).nonzero().flatten().tolist():
            alike = self.order[first[row] : last[row]].tolist()
            bytes_of_row = _bytes(data[row])
            is_contained[row] = any(
                torch.equal(_bytes(self.data[other]), bytes_of_row) for other in alike
            )
        return is_contained


def hash_rows(data: Tensor) -> Tensor:
    """Return a hash of each row's bytes, int64 [N]: equal rows have equal hashes.

    It is the sum of the row's 32-bit words, each times a random odd number.
    """
    if not len(data):
        return torch.zeros(0, dtype=torch.int64)
    width = -(-_bytes(data[0]).numel() // 4)
    random = torch.Generator().manual_seed(0)
    factors = 2 * torch.randint(2**62, (width,), generator=random) + 1

    parts = []
    for rows in data.split(PART):
        flat = rows.reshape(len(rows), -1).contiguous().view(torch.uint8)
        padded = torch.nn.functional.pad(flat, (0, 4 * width - flat.shape[1]))
        parts.append((padded.view(torch.int32).long() * factors).sum(1))
    return torch.cat(parts)


def _bytes(row: Tensor) -> Tensor:
    return row.reshape(-1).contiguous().view(torch.uint8)
