"""Rows that are compared byte by byte, through hashes: which rows of a set does another hold?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PART = 128
"""Rows that are hashed at a time."""


@dataclass(frozen=True)
class HashedRows:
    """Data [N, ...], and a hash of each distinct row's bytes, ascending.

    data    the rows themselves
    hashes  int64 [M]
    order   which row each hash is of, int64 [M]; equal rows count once
    """

    data: Tensor
    hashes: Tensor
    order: Tensor

    @classmethod
    def of(cls, data: Tensor) -> HashedRows:
        """Hash the rows of data of any dtype."""
        hashes, order = hash_rows(data).sort(stable=True)
        is_first = torch.ones(len(data), dtype=torch.bool)
        later = (hashes[1:] == hashes[:-1]).nonzero().flatten() + 1
        is_first[later] = ~_are_equal(data, order[later], data, order[later - 1])
        return cls(data, hashes[is_first], order[is_first])

    def contain(self, data: Tensor) -> Tensor:
        """Say which rows of `data` equal some row of these, byte by byte, bool [M]."""
        hashes = hash_rows(data)
        first = torch.searchsorted(self.hashes, hashes)
        last = torch.searchsorted(self.hashes, hashes, right=True)

        # An equal hash is looked into: two different rows may have one.
        is_contained = torch.zeros(len(data), dtype=torch.bool)
        is_open = first < last
        while bool(is_open.any()):
            rows = is_open.nonzero().flatten()
            is_contained[rows] = _are_equal(data, rows, self.data, self.order[first[rows]])
            first += 1
            is_open = ~is_contained & (first < last)
        return is_contained


def hash_rows(data: Tensor) -> Tensor:
    """Return a hash of each row's bytes, int64 [N]: equal rows have equal hashes.

    It is the sum of the row's 32-bit words, each times a random odd number.
    """
    if not len(data):
        return torch.zeros(0, dtype=torch.int64)
    width = -(-_bytes(data[:1]).shape[1] // 4)
    random = torch.Generator().manual_seed(0)
    factors = 2 * torch.randint(2**62, (width,), generator=random) + 1

    parts = []
    for rows in data.split(PART):
        flat = _bytes(rows)
        padded = torch.nn.functional.pad(flat, (0, 4 * width - flat.shape[1]))
        parts.append((padded.view(torch.int32).long() * factors).sum(1))
    return torch.cat(parts)


def _are_equal(data: Tensor, i: Tensor, others: Tensor, j: Tensor) -> Tensor:
    """Say of pairs of rows, int64 [P] each, whether they are equal byte by byte, bool [P]."""
    is_equal = torch.zeros(len(i), dtype=torch.bool)
    for first in range(0, len(i), PART):
        part = slice(first, first + PART)
        rows = _bytes(data[i[part]])
        other_rows = _bytes(others[j[part]])
        if rows.shape == other_rows.shape:
            is_equal[part] = (rows == other_rows).all(1)
    return is_equal


def _bytes(rows: Tensor) -> Tensor:
    """Return the bytes of each row, uint8 [N, B]."""
    return rows.reshape(len(rows), -1).contiguous().view(torch.uint8)
