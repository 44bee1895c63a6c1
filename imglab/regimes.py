"""Data regimes: which real and synthetic samples make the next training set.

Each regime is a pure function of the pool's sizes that chooses indices; nothing is copied. `sizes[0]` is the size
of the real training set, `sizes[g + 1]` that of what generation g left in the pool. At generation 0 every regime
returns the whole real set, so generation 0 is the same in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor

from imglab import seeds
from imglab.samples import FRESH, Selection


class Regime(Protocol):
    """Chooses the training set of `generation`; `seed` is the same in every generation of a chain."""

    def __call__(self, sizes: Sequence[int], *, generation: int, seed: int) -> Selection:  # noqa: D102
        ...


def replace(sizes: Sequence[int], *, generation: int, seed: int) -> Selection:
    """Train on the last generation's samples alone (Shumailov et al. 2024, "no data preserved")."""
    return _whole(sizes, [generation])


def accumulate(sizes: Sequence[int], *, generation: int, seed: int) -> Selection:
    """Train on the real data and the samples of all earlier generations (Gerstgrasser et al. 2024, section 2)."""
    return _whole(sizes, range(generation + 1))


def accumulate_subsample(sizes: Sequence[int], *, generation: int, seed: int) -> Selection:
    """Draw, without replacement, as many as the last generation left from the accumulated pool (Kazdan et al. 2024)."""
    pool = accumulate(sizes, generation=generation, seed=seed)
    rows = _choose(len(pool), sizes[generation], seeds.generator(seed, "accumulate_subsample", generation))
    return Selection(pool.entry[rows], pool.index[rows])


def mix(
    sizes: Sequence[int],
    *,
    generation: int,
    seed: int,
    real_fraction: float,
    real: Literal["fixed", "resampled", "fresh"] = "fixed",
) -> Selection:
    """Mix a share of real data with the last generation's samples, at the size of the last generation.

    `real_fraction` in [0, 1] is the real share (Shumailov et al. 2024: 0.1). `fixed` takes the same real samples in
    every generation, `resampled` other ones of the real training set each time, `fresh` ones that no generation has
    seen (Alemohammad et al. 2023, "fresh data").
    """
    if generation == 0:
        return replace(sizes, generation=0, seed=seed)
    total = sizes[generation]
    kept = real_share_size(total, real_fraction)
    synthetic = _choose(total, total - kept, seeds.generator(seed, "mix", "synthetic", generation))
    if real == "fresh":
        before = sum(real_share_size(size, real_fraction) for size in sizes[1:generation])
        first, rows = FRESH, torch.arange(before, before + kept)
    else:
        names = ("mix", "real") if real == "fixed" else ("mix", "real", generation)
        first, rows = 0, _choose(sizes[0], kept, seeds.generator(seed, *names))
    entry = torch.cat([torch.full_like(rows, first), torch.full_like(synthetic, generation)])
    return Selection(entry, torch.cat([rows, synthetic]))


def real_share_size(total: int, real_fraction: float) -> int:
    """Return how many of `total` samples are real at this share, rounded to the nearest."""
    return round(total * real_fraction)


def _whole(sizes: Sequence[int], entries: Sequence[int]) -> Selection:
    entry = torch.cat([torch.full((sizes[number],), number) for number in entries])
    return Selection(entry, torch.cat([torch.arange(sizes[number]) for number in entries]))


def _choose(population: int, n: int, generator: torch.Generator) -> Tensor:
    if n > population:
        raise ValueError(f"cannot draw {n} of {population} without replacement")
    return torch.randperm(population, generator=generator)[:n].sort().values
