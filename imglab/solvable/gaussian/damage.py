"""Known damage to real vectors, by which metrics are calibrated."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from imglab import seeds
from imglab.metrics.damage import (
    MOST_DROPPED,
    draw,
    draw_without,
    partly_replaced,
    repeated,
    thinnest,
)
from imglab.modality import Damage
from imglab.samples import Samples

MOST_SHRUNK = 0.5
SMALL_NOISE = 0.01
"""Standard deviation of the noise on memorized vectors, over that of the pool."""


def vector_damages(train: Samples, means: Tensor) -> list[Damage]:
    """Return every damage of vectors.

    train  the real training vectors
    means  first coordinates of the components' means, [K]; with one component none is left out
    """
    memorise = partial(_memorised, train)
    damages = [
        Damage("scale", "vectors shrink towards their mean by 50% x strength", _scaled),
        Damage("shift", "the first axis moves by strength x its standard deviation", _shifted),
        Damage("noise", "normal noise of strength x the standard deviation of each axis", _noisy),
        Damage("drop_tail", "40% x strength are left out, the farthest from the mean", _no_tail),
        Damage("drop_rare", "40% x strength are left out, those in the thinnest regions", _no_rare),
        Damage("duplicate", "90% x strength of the vectors are repeats of others", repeated),
        Damage("memorise", "a share `strength` are training vectors with slight noise", memorise),
    ]
    if len(means) > 1:
        thin = partial(_thin_component, means)
        text = "a share `strength` of one component is left out"
        damages.append(Damage("drop_component", text, thin))
    return damages


def _scaled(pool: Samples, n: int, *, strength: float, seed: int) -> Samples:
    samples = draw(pool, n, seed=seed)
    mean = pool.data.mean(0)
    return replace(samples, data=mean + (samples.data - mean) * (1 - MOST_SHRUNK * strength))


def _shifted(pool: Samples, n: int, *, strength: float, seed: int) -> Samples:
    samples = draw(pool, n, seed=seed)
    moved = samples.data.clone()
    moved[:, 0] += strength * pool.data[:, 0].std()
    return replace(samples, data=moved)


def _noisy(pool: Samples, n: int, *, strength: float, seed: int) -> Samples:
    samples = draw(pool, n, seed=seed)
    noise = torch.randn(samples.data.shape, generator=seeds.generator(seed, "noise"))
    return replace(samples, data=samples.data + strength * pool.data.std(0) * noise)


def _no_tail(pool: Samples, n: int, *, strength: float, seed: int) -> Samples:
    distance = (pool.data - pool.data.mean(0)).norm(dim=1)
    nearest = distance.argsort(stable=True)[: len(pool) - int(MOST_DROPPED * strength * len(pool))]
    return draw(pool[nearest], n, seed=seed)


def _no_rare(pool: Samples, n: int, *, strength: float, seed: int) -> Samples:
    dropped = thinnest(pool.data, MOST_DROPPED * strength)
    return draw_without(pool, n, dropped=dropped, seed=seed)


def _memorised(train: Samples, pool: Samples, n: int, *, strength: float, seed: int) -> Samples:
    copies = draw(train, min(n, len(train)), seed=seed)
    noise = torch.randn(copies.data.shape, generator=seeds.generator(seed, "slight noise"))
    noisy = replace(copies, data=copies.data + SMALL_NOISE * pool.data.std(0) * noise)
    return partly_replaced(pool, n, others=noisy, share=strength, seed=seed)


def _thin_component(means: Tensor, pool: Samples, n: int, *, strength: float, seed: int) -> Samples:
    """Leave out vectors whose nearest component is the last one."""
    component = (pool.data[:, :1] - means).abs().argmin(1)
    generator = seeds.generator(seed, "component")
    is_late = torch.rand(len(pool), generator=generator) < strength
    dropped = (component == len(means) - 1) & is_late
    return draw_without(pool, n, dropped=dropped, seed=seed)
