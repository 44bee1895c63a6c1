"""Known damage to draws from categories, by which metrics are calibrated."""

from __future__ import annotations

from functools import partial

import torch

from imglab import seeds
from imglab.metrics.damage import (
    MOST_DROPPED,
    draw_without,
    mixed,
    partly_replaced,
    rarest,
    repeated,
)
from imglab.modality import Damage
from imglab.samples import Samples


def category_damages(train: Samples, categories: int) -> list[Damage]:
    """Return every damage of categories.

    train       the real training samples
    categories  how many categories there are
    """
    uniform = partial(_uniform, categories)
    memorise = partial(mixed, train)
    return [
        Damage("drop_rare", "the rarest categories, 40% x strength of all samples", _no_rare),
        Damage("drop_category", "a share `strength` of the most frequent category", _thinned),
        Damage("sharpen", "frequencies p become p^(1 + strength), of sum 1", _sharpened),
        Damage("uniform", "a share `strength` is drawn from all categories alike", uniform),
        Damage("duplicate", "90% x strength of the samples are repeats of others", repeated),
        Damage("memorise", "a share `strength` are training samples", memorise),
    ]


def _no_rare(pool: Samples, n: int, *, strength: float, seed: int) -> Samples:
    dropped = rarest(pool.data[:, 0], MOST_DROPPED * strength)
    return draw_without(pool, n, dropped=dropped, seed=seed)


def _thinned(pool: Samples, n: int, *, strength: float, seed: int) -> Samples:
    labels = pool.data[:, 0]
    is_late = torch.rand(len(pool), generator=seeds.generator(seed, "late")) < strength
    dropped = (labels == labels.mode().values) & is_late
    return draw_without(pool, n, dropped=dropped, seed=seed)


def _sharpened(pool: Samples, n: int, *, strength: float, seed: int) -> Samples:
    labels = pool.data[:, 0]
    weights = torch.bincount(labels).double()[labels] ** strength
    rows = torch.multinomial(weights, n, True, generator=seeds.generator(seed, "sharpened"))
    return pool[rows]


def _uniform(categories: int, pool: Samples, n: int, *, strength: float, seed: int) -> Samples:
    generator = seeds.generator(seed, "uniform")
    others = Samples.real(torch.randint(categories, (n, 1), generator=generator))
    return partly_replaced(pool, n, others=others, share=strength, seed=seed)
