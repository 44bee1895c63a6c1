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
    """Train on the last generation's samples alone: D_g = S_{g-1}, S_{-1} the real set.

    Shumailov et al. 2024, "no data preserved": alpha = 1 in their p_{g+1} = alpha p_theta + beta p_g + gamma p_0. The
    "fully synthetic loop" of Alemohammad et al. 2023 (MAD).
    """
    return _whole(sizes, [generation])


def real_only(
    sizes: Sequence[int], *, generation: int, seed: int, size: Literal["real", "last"] = "real"
) -> Selection:
    """Train on the real set alone in every generation, D_g = R: the control, which refitting alone would change.

    The real-only control of Gerstgrasser et al. 2024 and of MAD's figures (D_g = R, no S). With `size: last` it is of
    equal budget: as many real samples, other ones each time, as `replace` has synthetic ones; all, where it has more.
    """
    if size == "real" or generation == 0 or sizes[generation] >= sizes[0]:
        return _whole(sizes, [0])
    rows = _choose(sizes[0], sizes[generation], seeds.generator(seed, "real_only", generation))
    return Selection(torch.zeros_like(rows), rows)


def accumulate(sizes: Sequence[int], *, generation: int, seed: int) -> Selection:
    """Train on the real data and the samples of all earlier generations: D_g = R + S_0 + ... + S_{g-1}.

    Gerstgrasser et al. 2024, section 2.
    """
    return _whole(sizes, range(generation + 1))


def accumulate_subsample(sizes: Sequence[int], *, generation: int, seed: int) -> Selection:
    """Draw as many as the last generation left, without replacement, from R + S_0 + ... + S_{g-1}.

    Kazdan et al. 2024 (2410.16713), section 3, "accumulate-subsample": |D_g| = |S_{g-1}|, drawn uniformly.
    """
    pool = accumulate(sizes, generation=generation, seed=seed)
    rows = _choose(
        len(pool), sizes[generation], seeds.generator(seed, "accumulate_subsample", generation)
    )
    return Selection(pool.entry[rows], pool.index[rows])


def mix(
    sizes: Sequence[int],
    *,
    generation: int,
    seed: int,
    real_fraction: float | Sequence[float],
    real: Literal["fixed", "resampled", "fresh"] = "fixed",
) -> Selection:
    """Mix a share of real data with the last generation's samples, n in all, as many as that generation left.

    Shumailov et al. 2024: p_{g+1} = alpha p_theta + gamma p_0, gamma = 1 - alpha the `real_fraction` (theirs: 0.1). A
    list gives it for generations 1, 2, ..., its last one for all that follow (synthetic data building up on the web).
    `fixed` takes the same real samples in every generation, as far as its share goes, `resampled` other ones of the
    real training set each time, `fresh` ones that no generation has seen.
    """
    if generation == 0:
        return replace(sizes, generation=0, seed=seed)
    total = sizes[generation]
    kept = real_share_size(total, real_fraction, generation)
    synthetic = _choose(total, total - kept, seeds.generator(seed, "mix", "synthetic", generation))
    if real == "fresh":
        before = sum(real_share_size(sizes[g], real_fraction, g) for g in range(1, generation))
        first, rows = FRESH, torch.arange(before, before + kept)
    else:
        names = ("mix", "real") if real == "fixed" else ("mix", "real", generation)
        first, rows = 0, _choose(sizes[0], kept, seeds.generator(seed, *names))
    entry = torch.cat([torch.full_like(rows, first), torch.full_like(synthetic, generation)])
    return Selection(entry, torch.cat([rows, synthetic]))


def synthetic_augmentation(
    sizes: Sequence[int], *, generation: int, seed: int, ratio: float = 1.0
) -> Selection:
    """Train on the whole real set and `ratio` times as many of the last generation's samples.

    The "synthetic augmentation loop" of Alemohammad et al. 2023 (MAD, section 3.2): D_g = R + lambda n of S_{g-1},
    n = |R|.
    """
    if generation == 0:
        return replace(sizes, generation=0, seed=seed)
    names = (seed, "synthetic_augmentation", generation)
    rows = _choose(sizes[generation], augmentation_size(sizes[0], ratio), seeds.generator(*names))
    real = torch.arange(sizes[0])
    entry = torch.cat([torch.zeros_like(real), torch.full_like(rows, generation)])
    return Selection(entry, torch.cat([real, rows]))


def fresh_data(sizes: Sequence[int], *, generation: int, seed: int, fresh: int) -> Selection:
    """Train on the last generation's samples and `fresh` real ones that no generation has seen.

    The "fresh data loop" of Alemohammad et al. 2023 (MAD, section 3.3): D_g = F_g + S_{g-1}, |F_g| = n_r, no F_g twice.
    """
    last = replace(sizes, generation=generation, seed=seed)
    if generation == 0:
        return last
    first = fresh * (generation - 1)
    rows = torch.arange(first, first + fresh)
    return Selection(
        torch.cat([torch.full_like(rows, FRESH), last.entry]), torch.cat([rows, last.index])
    )


def sliding_window(sizes: Sequence[int], *, generation: int, seed: int, window: int) -> Selection:
    """Train on the samples of the last `window` generations; the real set counts as the one before generation 0.

    D_g = S_{g-w} + ... + S_{g-1}, S_{-1} the real set: between `replace` (w = 1) and `accumulate` (w > g), the two
    ends that Gerstgrasser et al. 2024, section 2, compare.
    """
    return _whole(sizes, range(max(0, generation + 1 - window), generation + 1))


def real_share_size(total: int, real_fraction: float | Sequence[float], generation: int) -> int:
    """Return how many of `total` samples of a generation >= 1 are real, rounded to the nearest."""
    if isinstance(real_fraction, Sequence):
        real_fraction = real_fraction[min(generation, len(real_fraction)) - 1]
    return round(total * real_fraction)


def augmentation_size(real: int, ratio: float) -> int:
    """Return how many synthetic samples join `real` ones, rounded to the nearest."""
    return round(real * ratio)


def _whole(sizes: Sequence[int], entries: Sequence[int]) -> Selection:
    entry = torch.cat([torch.full((sizes[number],), number) for number in entries])
    return Selection(entry, torch.cat([torch.arange(sizes[number]) for number in entries]))


def _choose(population: int, n: int, generator: torch.Generator) -> Tensor:
    if n > population:
        raise ValueError(f"cannot draw {n} of {population} without replacement")
    return torch.randperm(population, generator=generator)[:n].sort().values
