"""Randomness by name: (seed, generation, stage, index) -> generator.

Nothing reads or moves the state of the global generators.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


def derive(*names: int | str) -> int:
    """Return a seed in [0, 2^63) for this path of names; different paths give independent seeds.

    >>> derive(0, 3, "samples")
    6436479971045588753
    >>> derive(0, 3, "samples") == derive(0, 3, "shown")
    False
    """
    path = "/".join(f"{type(name).__name__[0]}{name}" for name in names)
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "little") >> 1


def generator(*names: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a fresh generator for this path of names.

    The same path gives other numbers on another device than on the CPU.
    """
    return torch.Generator(device).manual_seed(derive(*names))


def normal(shape: Sequence[int], indices: Iterable[int], *, seed: int) -> Tensor:
    """Draw standard normal noise, float32 [len(indices), *shape].

    Row i comes from a generator of (seed, i) alone, so it depends neither on the batch nor on how
    the work is sharded over processes.

    >>> whole = normal((2,), range(10), seed=1)
    >>> torch.equal(normal((2,), [7, 3], seed=1), whole[[7, 3]])
    True
    """
    rows = [torch.randn(*shape, generator=generator(seed, index)) for index in indices]
    if not rows:
        return torch.empty(0, *shape)
    return torch.stack(rows)


def uniform(indices: Sequence[int], *, seed: int) -> Tensor:
    """Draw uniform noise in [0, 1), float64 [len(indices)].

    Number i comes from a generator of (seed, i) alone.
    """
    numbers = torch.empty(len(indices), dtype=torch.float64)
    for at, index in enumerate(indices):
        numbers[at : at + 1].uniform_(generator=generator(seed, index))
    return numbers


def invert(weights: Tensor, uniforms: Tensor) -> Tensor:
    """Turn uniforms in [0, 1) into indices in proportion to `weights`, int64.

    weights  at least 0, of any sum; an index of weight 0 is never returned
    """
    cumulative = weights.double().cumsum(0)
    indices = torch.searchsorted(cumulative, uniforms * cumulative[-1], right=True)
    return indices.clamp(max=int(weights.nonzero()[-1]))  # a product may round up to the sum


@contextmanager
def isolated(*names: int | str) -> Iterator[None]:
    """Run library code that insists on the global generators, on CPU and CUDA.

    They are seeded by the path of names here, and their state is put back afterwards. Do not
    `yield` to a caller from inside: the caller would see, and move, the seeded state.
    """
    cuda = []
    if torch.cuda.is_available():
        cuda.append(torch.cuda.current_device())

    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(derive(*names))
        if cuda:
            torch.cuda.manual_seed(derive(*names))
        yield
