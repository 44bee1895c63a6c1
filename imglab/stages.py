"""The stages of a generation: what each does, and how it is kept."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from imglab import distributed, seeds
from imglab.curation import Context, Curator
from imglab.errors import DIVERGED, InputError, Problem, Stopped
from imglab.measure import Measure
from imglab.measures import Measures
from imglab.modality import Modality
from imglab.model import GenerativeModel
from imglab.progress import Progress, Stage
from imglab.samples import Samples, TrainingSet
from imglab.store.base import Store


def _checkpointed(
    work: Stage[GenerativeModel], store: Store, g: int, every: int | None
) -> Stage[GenerativeModel]:
    """Pass a fit's progress on, keeping its state now and then, and when the caller stops in the middle of it."""
    last = 0
    while True:
        try:
            progress = next(work)
        except StopIteration as end:
            fitted: GenerativeModel = end.value
            return fitted
        if progress.loss is not None and not math.isfinite(progress.loss):
            what = (
                f"the loss of generation {g} became {progress.loss} after {progress.seen} samples"
            )
            raise Stopped(f"{what}; {DIVERGED}")
        if every and progress.state and progress.seen - last >= every:
            store.keep_checkpoint(g, progress.state())
            last = progress.seen
        try:
            yield progress
        except GeneratorExit:
            if progress.state and distributed.is_gatherable():
                store.keep_checkpoint(g, progress.state())
            raise


def _draw(
    modality: Modality,
    fitted: GenerativeModel,
    train: TrainingSet,
    n: int,
    turn: int | None,
    *,
    seed: int,
) -> Stage[Samples]:
    conditions = modality.conditions(train, n, seed=seeds.derive(seed, "conditions"))
    mine, parts = distributed.shard(n), list[Samples]()
    told = None if conditions is None else conditions[mine.start : mine.stop]
    for part in fitted.draw(mine, conditions=told, seed=seed) if mine else ():
        parts.append(part)
        yield Progress("sample", sum(map(len, parts)) * distributed.world_size(), n)
    drawn = distributed.gather(parts, Samples.concatenate)
    return drawn if turn is None else drawn.drawn_by(turn)


def _curate(
    curator: Curator, modality: Modality, measure: Measure, store: Store, g: int, seed: int
) -> Stage[Tensor]:
    samples = store.samples(g)
    context = Context(
        features=store.features(g),
        real=measure.real("train"),
        modality=modality,
        first=store.model(0),
        generation=g,
        seed=seeds.derive(seed, g, "curate"),
        desk=store.desk(g),
    )
    accepted = curator(samples, context)
    yield Progress("curate", len(samples), len(samples))
    if accepted.dtype != torch.int64 or accepted.dim() != 1:
        what = f"returned {accepted.dtype} {list(accepted.shape)}, not indices, int64 [M]"
        raise InputError(Problem("curate", what, "a mask's indices are mask.nonzero().flatten()"))
    if len(accepted) and not (int(accepted[0]) >= 0 and int(accepted[-1]) < len(samples)):
        raise InputError(Problem("curate", f"returned indices beyond the {len(samples)} samples"))
    if bool((accepted.diff() <= 0).any()):
        raise InputError(
            Problem("curate", "returned indices that do not ascend", "sort them, none twice")
        )
    return accepted


def _score(
    modality: Modality,
    measure: Measure,
    store: Store,
    train: TrainingSet,
    fitted: GenerativeModel,
    g: int,
    seed: int,
) -> Stage[Measures]:
    made = store.samples(g)
    scores = yield from measure.scores(made, store.features(g))
    first, own = store.model(0), seeds.derive(seed, g, "metrics")
    of_data = modality.metrics(made, model=fitted, first=first, seed=own)
    of_model = fitted.measures(made, first=first, seed=own)
    measures, accepted = [scores, of_data, of_model], store.accepted(g)
    if accepted is not None:
        measures.append((yield from measure.of_accepted(made, store.features(g), accepted, scores)))
    joined = Measures.joined(measures).finite()
    described = {
        "headline": list(modality.headline),
        "n_train": len(train),
        "real_share": train.real_share,
        "origins": train.origin_counts,
        "training": dict(fitted.training),
        "floor": dict(joined.floor),
        "reasons": dict(joined.reasons),
    }
    return Measures({"generation": g, **joined.values, **described}, per_sample=joined.per_sample)


def _stage(store: Store, g: int, name: str, work: Stage[Any]) -> Iterator[Progress]:
    """Do the work of a stage and store what it returns, unless the store has it already."""
    if not store.has(g, name):
        with store.timed(generation=g, stage=name):
            made = yield from work
        store.put(g, name, made)
