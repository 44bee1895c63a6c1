"""Matrix products of which only a part need be taken, since they are symmetric or triangular.

They go strip by strip: a strip is the rows of the result between two multiples of `STRIP`. Of D
rows and columns about half of the products are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

STRIP = 256
"""Rows or columns of a strip."""


def gram(parts: Iterable[Tensor], width: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return the sum of R' R over matrices R, float [B, D] each: symmetric, [D, D]."""
    products = torch.zeros(width, width, dtype=dtype)
    for rows in parts:
        for strip in _strips(width):
            right = slice(strip.start, width)
            products[strip, right].addmm_(rows[:, strip].T, rows[:, right])
    return mirrored_(products)


def lower_times(lower: Tensor, matrix: Tensor) -> Tensor:
    """Return L M for a lower triangular L, float [D, D] both."""
    product = torch.empty_like(matrix)
    for strip in _strips(len(lower)):
        left = slice(0, strip.stop)
        torch.mm(lower[strip, left], matrix[left], out=product[strip])
    return product


def congruence(lower: Tensor, symmetric: Tensor) -> Tensor:
    """Return L' S L for a lower triangular L and a symmetric S, float [D, D] both."""
    width = len(lower)
    product = torch.zeros_like(lower)
    right = torch.empty_like(lower)  # S L
    for strip in _strips(width):
        below = slice(strip.start, width)
        right[:, strip] = symmetric[:, below] @ lower[below, strip]

    for strip in _strips(width):
        below = slice(strip.start, width)
        product[strip, below] = lower[below, strip].T @ right[below, below]
    return mirrored_(product)


def outer(factor: Tensor) -> Tensor:
    """Return F F' for a factor F, float [D, K]."""
    return gram([factor.T], len(factor), factor.dtype)


def doubled_above(symmetric: Tensor) -> Tensor:
    """Return a symmetric matrix with all that is right of its diagonal blocks doubled."""
    doubled = symmetric * 2
    for strip in _strips(len(symmetric)):
        doubled[strip, strip] = symmetric[strip, strip]
    return doubled


def quadratic_forms(rows: Tensor, doubled: Tensor) -> Tensor:
    """Return x' S x for each row x, float [B, D], as float64 [B].

    doubled  what `doubled_above` returns for the symmetric S: what is left of the diagonal blocks
             stands on their right once more
    """
    forms = torch.zeros(len(rows), dtype=torch.float64)
    for strip in _strips(len(doubled)):
        right = slice(strip.start, len(doubled))
        moved = rows[:, right] @ doubled[strip, right].T  # [B, STRIP]
        forms += moved.mul_(rows[:, strip]).sum(1)
    return forms


def mirrored_(upper: Tensor) -> Tensor:
    """Copy what is above the diagonal of a matrix, [D, D], to below it."""
    for strip in _strips(len(upper)):
        block = upper[strip, strip]
        block.copy_(block.triu() + block.triu(1).T)
        upper[strip.stop :, strip] = upper[strip, strip.stop :].T
    return upper


def _strips(width: int) -> Iterator[slice]:
    for start in range(0, width, STRIP):
        yield slice(start, min(start + STRIP, width))
