"""Which samples a generation is trained on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from imglab import seeds
from imglab.errors import InputError, Problem
from imglab.modality import Modality
from imglab.regimes import Regime
from imglab.samples import FRESH, Samples, Selection, TrainingSet
from imglab.store.base import Store


def training_set(
    modality: Modality, regime: Regime, store: Store, g: int, seed: int
) -> TrainingSet:
    real = modality.real("train")
    sizes = [len(real), *(store.size(past) for past in range(g))]
    try:
        chosen = regime(sizes, generation=g, seed=seeds.derive(seed, "regime"))
    except ValueError as error:  # known only now: curation may keep any number
        what = f"generation {g} has too few samples to choose from: {error}"
        raise InputError(
            Problem("regime", what, "keep more, draw more (curate.oversample, samples)")
        ) from error
    _check_selection(chosen, sizes)
    if not len(chosen):
        what = f"nothing is left to train generation {g} on"
        raise InputError(
            Problem("curate", what, "keep more, or choose a regime that keeps real data")
        )
    pool: dict[int, Samples] = {}
    accepted: dict[int, Tensor] = {}
    for entry in torch.unique(chosen.entry).tolist():
        if entry == FRESH:
            unseen = chosen.index[chosen.entry == FRESH]
            first = int(unseen.min())
            asked = int(unseen.max()) - first + 1
            try:
                pool[FRESH] = modality.fresh(asked, first=first, seed=seeds.derive(seed, "fresh"))
            except ValueError as error:
                what = f"generation {g} finds no more fresh data: {error}"
                raise InputError(
                    Problem("regime", what, "keep more apart, or use real: resampled")
                ) from error
            chosen = Selection(chosen.entry, chosen.index - first * (chosen.entry == FRESH))
        else:
            pool[entry] = store.samples(entry - 1) if entry else real
            rows = store.accepted(entry - 1) if entry else None
            if rows is not None:
                accepted[entry] = rows
    return TrainingSet(pool, chosen.through(accepted))


def _check_selection(chosen: Selection, sizes: Sequence[int]) -> None:
    """Raise InputError for what a regime of somebody else's must not return."""
    if not isinstance(chosen, Selection):
        raise InputError(
            Problem("regime", f"returned {type(chosen).__name__}, not imglab.Selection")
        )
    try:
        chosen.check(sizes)
    except ValueError as error:
        raise InputError(
            Problem("regime", f"returned a selection that is none of this pool: {error}")
        ) from error
