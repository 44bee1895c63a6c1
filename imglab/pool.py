"""Which samples a generation is trained on: a regime's choice from all that there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from imglab import seeds
from imglab.errors import InputError, Problem
from imglab.modality import FreshData, Modality
from imglab.regimes import PoolSizes, Regime
from imglab.samples import FRESH, GIVEN, Samples, Selection, TrainingSet
from imglab.store.base import Store


@runtime_checkable
class GivesSynthetic(Protocol):
    """The ability of a modality to give synthetic data of the user's own, beside the real data."""

    def synthetic(self) -> Mapping[str, Samples]:
        """Return the samples of each set by its label, in one order (`Samples.given`)."""
        ...


def given_samples(modality: Modality) -> Mapping[str, Samples]:
    """Return the synthetic data that the user gave with a kind of data, by label."""
    giver = modality.ability(GivesSynthetic)
    return {} if giver is None else giver.synthetic()


def pool_sizes(modality: Modality, drawn: Sequence[int]) -> PoolSizes:
    """Return the sizes of all that a regime can choose from.

    drawn  how many samples each generation left in the pool
    """
    sets = {label: len(samples) for label, samples in given_samples(modality).items()}
    return PoolSizes((len(modality.real("train")), *drawn), sets)


def training_set(
    regime: Regime, modality: Modality, store: Store, g: int, *, seed: int
) -> TrainingSet:
    """Return what generation g is trained on; no data are copied.

    Raises InputError where the regime asks for more than there is, or returns no selection.
    """
    real = modality.real("train")
    sets = given_samples(modality)
    sizes = pool_sizes(modality, [store.size(past) for past in range(g)])
    selection = _selection(regime, sizes, g, seed=seeds.derive(seed, "regime"))

    pool: dict[int, Samples] = {}
    accepted: dict[int, Tensor] = {}
    for entry in torch.unique(selection.entry).tolist():
        if entry == FRESH:
            selection, pool[FRESH] = _fresh(selection, modality, g, seed=seed)
            continue
        if entry <= GIVEN:
            pool[entry] = list(sets.values())[GIVEN - entry]
            continue

        # Entry 0 is the real training set, entry k + 1 what generation k drew.
        if entry == 0:
            pool[entry] = real
            continue
        pool[entry] = store.samples(entry - 1)
        rows = store.accepted(entry - 1)
        if rows is not None:
            accepted[entry] = rows

    return TrainingSet(pool, selection.through(accepted), list(sets))


def _selection(regime: Regime, sizes: PoolSizes, g: int, *, seed: int) -> Selection:
    """Return what the regime chooses, checked: it may be a third party's."""
    try:
        selection = regime(sizes, generation=g, seed=seed)
    except ValueError as error:  # only known now: curation may keep any number of samples
        what = f"generation {g} has too few samples to choose from: {error}"
        remedy = "keep more, draw more (curate.oversample, samples)"
        raise InputError(Problem("regime", what, remedy)) from error

    if not isinstance(selection, Selection):
        what = f"returned {type(selection).__name__}, expected imglab.Selection"
        raise InputError(Problem("regime", what))
    try:
        selection.check(sizes, list(sizes.sets.values()))
    except ValueError as error:
        what = f"returned a selection that does not fit the pool: {error}"
        raise InputError(Problem("regime", what)) from error

    if not len(selection):
        what = f"nothing is left to train generation {g} on"
        raise InputError(
            Problem("curate", what, "keep more, or choose a regime that keeps real data")
        )
    return selection


def _fresh(
    selection: Selection, modality: Modality, g: int, *, seed: int
) -> tuple[Selection, Samples]:
    """Return a selection whose fresh entries count from 0, and the fresh data that it asks for."""
    is_fresh = selection.entry == FRESH
    positions = selection.index[is_fresh]
    first = int(positions.min())
    count = int(positions.max()) - first + 1

    stream = modality.ability(FreshData)
    try:
        if stream is None:
            raise ValueError(f"{type(modality).__name__} has no fresh data")
        samples = stream.fresh(count, first=first, seed=seeds.derive(seed, "fresh"))
    except ValueError as error:
        what = f"generation {g} finds no more fresh data: {error}"
        remedy = "keep more apart, or use real: resampled"
        raise InputError(Problem("regime", what, remedy)) from error

    index = torch.where(is_fresh, selection.index - first, selection.index)
    return Selection(selection.entry, index), samples
