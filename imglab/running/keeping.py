"""The policy `keep` of a run: what is removed as it goes on, and what cannot be done without it."""

from __future__ import annotations

from pathlib import Path

import torch

from imglab import distributed
from imglab.config.schema import RunConfig
from imglab.config.sections import KeepSettings
from imglab.errors import InputError, Problem
from imglab.generation import Generation
from imglab.mixed.settings import AlternatingSettings
from imglab.pool import pool_sizes
from imglab.running.build import Experiment
from imglab.running.observers import Events, Observer
from imglab.store import layout
from imglab.store.base import StoredChain
from imglab.store.pruned import policy_of, read_pruned, removable, remove
from imglab.store.reader import RunFolder

SAMPLES = "samples.safetensors"


def keeping(config: RunConfig, run: Path, store: StoredChain) -> Observer:
    """Return an observer that removes what `keep` does not keep of the generations of a run.

    Models and features are removed as the run goes on, samples when it is finished: only its regime
    knows which of them it will read.
    """

    def watch(events: Events) -> Events:
        for event in events:
            if isinstance(event, Generation) and event.index == layout.count_finished(run) - 1:
                _apply(config, run, store, event.index)
            yield event

    return watch


def _apply(config: RunConfig, run: Path, store: StoredChain, last: int) -> None:
    policy = policy_of(config.keep)
    if last < config.generations - 1:
        del policy["samples"]
    removed = removable(run, policy, last=last, turns=turns_of(config))
    if distributed.is_main():
        remove(run, removed, {g: store.size(g) for g in removed if "samples" in removed[g]})


def turns_of(config: RunConfig) -> int:
    """Return how many models of a config take turns."""
    if isinstance(config.model, AlternatingSettings):
        return len(config.model.models)
    return 1


def check_goes_on(experiment: Experiment, run: Path, g: int) -> None:
    """Raise InputError if generation g of a run needs samples that were removed."""
    pruned = read_pruned(run)
    if not pruned.removed or g >= experiment.config.generations:
        return

    stored = RunFolder(run, load_model=experiment.load_model)
    sizes = pool_sizes(experiment.modality, [stored.size(past) for past in range(g)])
    selection = experiment.regime(sizes, generation=g, seed=0)
    needed = [entry - 1 for entry in torch.unique(selection.entry).tolist() if entry > 0]
    missing = [past for past in needed if not stored.path(past, "samples").exists()]
    if missing:
        numbers = ", ".join(map(str, missing))
        kind = getattr(experiment.config.regime, "kind", "")
        what = (
            f"regime {kind} trains generation {g} on the samples of {numbers}, which were removed"
        )
        remedy = f"leave it at {g} generations, or choose a regime that reads only the last ones"
        raise InputError(Problem(f"{run}: keep.samples", what, remedy))


def kept_generations(keep: KeepSettings, generations: int, what: str) -> int:
    """Return of how many generations a finished run has something."""
    policy = getattr(keep, what)
    if policy == "all":
        return generations
    if policy == "last":
        return min(generations, 2 if what == "models" else 1)
    return len({*range(0, generations, policy), generations - 1})
