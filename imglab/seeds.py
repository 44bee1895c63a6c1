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


def generator(*names: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a fresh generator for this path of names; on another device than the CPU its numbers are others."""
    return torch.Generator(device).manual_seed(derive(*names))


def normal(shape: Sequence[int], indices: Iterable[int], *, seed: int) -> Tensor:
    """Draw standard normal noise, float32 [len(indices), *shape].

    Row `i` comes from a generator of (seed, i) alone, so it depends neither on the batch nor on how the work
    is spread over processes.
    """
    rows = [torch.randn(*shape, generator=generator(seed, index)) for index in indices]
    return torch.stack(rows) if rows else torch.empty(0, *shape)


def uniform(indices: Sequence[int], *, seed: int) -> Tensor:
    """Draw uniform noise in [0, 1), float64 [len(indices)]; number `i` comes from a generator of (seed, i) alone."""
    found = torch.empty(len(indices), dtype=torch.float64)
    for at, index in enumerate(indices):
        found[at : at + 1].uniform_(generator=generator(seed, index))
    return found


def invert(weights: Tensor, uniforms: Tensor) -> Tensor:
    """Turn uniforms in [0, 1) into int64 indices in proportion to `weights` (>= 0, any sum); never one of weight 0."""
    cumulative = weights.double().cumsum(0)
    found = torch.searchsorted(cumulative, uniforms * cumulative[-1], right=True)
    return found.clamp(max=int(weights.nonzero()[-1]))  # a product may round up to the sum


@contextmanager
def isolated(*names: int | str) -> Iterator[None]:
    """Run library code that insists on the global generators, CPU and CUDA: seeded here, put back after.

    Do not `yield` to a caller from inside: the caller would see, and move, the seeded state.
    """
    cuda = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(derive(*names))
        if cuda:
            torch.cuda.manual_seed(derive(*names))
        yield
