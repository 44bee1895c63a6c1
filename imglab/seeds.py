"""Randomness by name: (seed, generation, stage, index) -> generator. Nothing reads or moves the global state."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


def derive(*names: int | str) -> int:
    """Return a seed in [0, 2^63) for this path of names; two different paths give independent seeds."""
    path = "/".join(f"{type(name).__name__[0]}{name}" for name in names)
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "little") >> 1


def generator(*names: int | str) -> torch.Generator:
    """Return a fresh CPU generator for this path of names."""
    return torch.Generator().manual_seed(derive(*names))


def normal(shape: Sequence[int], indices: Iterable[int], *, seed: int) -> Tensor:
    """Draw standard normal noise, float32 [len(indices), *shape].

    Row `i` comes from a generator of (seed, i) alone, so it depends neither on the batch nor on how the work
    is spread over processes.
    """
    rows = [torch.randn(*shape, generator=generator(seed, index)) for index in indices]
    return torch.stack(rows) if rows else torch.empty(0, *shape)


@contextmanager
def isolated(*names: int | str) -> Iterator[None]:
    """Run library code that insists on the global CPU generator: seeded here, put back after.

    Do not `yield` to a caller from inside: the caller would see, and move, the seeded state.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(*names))
        yield
