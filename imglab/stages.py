"""The stages of a generation: fit, draw, curate and score, and how the result of each is kept."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from imglab import distributed, seeds
from imglab.curation import Context, Curator
from imglab.errors import DIVERGED, InputError, Problem, Stopped
from imglab.lineage import Lineage
from imglab.measure import Measure
from imglab.measures import Measures
from imglab.modality import HeldOutLoss, Modality
from imglab.model import GenerativeModel, call_metrics, reads_generation0
from imglab.progress import Progress, Stage, report, without_state
from imglab.samples import Samples, TrainingSet
from imglab.store.base import Store


class Observer(Protocol):
    """Looks at a generation after its last stage, before the store declares it finished."""

    def __call__(self, store: Store, g: int) -> Iterator[Progress]:  # noqa: D102
        ...


def keep(store: Store, g: int, name: str, work: Stage[Any]) -> Iterator[Progress]:
    """Do the work of a stage and store what it returns, unless the store has it already."""
    if store.has(g, name):
        return

    with store.timed(generation=g, stage=name):
        result = yield from work
    store.put(g, name, result)


def fit(
    modality: Modality, lineage: Lineage, store: Store, g: int, train: TrainingSet, seed: int
) -> Stage[GenerativeModel]:
    """Return the fit of generation g's model, or the rest of one of which a checkpoint is kept."""
    draws = partial(draw, modality, source=None)
    return lineage.fit(g, store, train, seed=seeds.derive(seed, g, "fit"), draw=draws)


def checkpointed(
    fitting: Stage[GenerativeModel], store: Store, g: int, every: int | None
) -> Stage[GenerativeModel]:
    """Pass a fit's progress on, and keep its state now and then and when the caller stops.

    every  samples seen between two checkpoints; None: only when the caller stops

    Raises Stopped where the loss is not finite.
    """
    seen_at_checkpoint = 0

    while True:
        try:
            progress = next(fitting)
        except StopIteration as end:
            fitted: GenerativeModel = end.value
            return fitted

        if progress.loss is not None and not math.isfinite(progress.loss):
            what = f"the loss of generation {g} became {progress.loss}"
            raise Stopped(f"{what} after {progress.seen} samples; {DIVERGED}")

        if every and progress.state and progress.seen - seen_at_checkpoint >= every:
            store.keep_checkpoint(g, progress.state())
            seen_at_checkpoint = progress.seen

        try:
            yield progress
        except GeneratorExit:
            if progress.state and distributed.is_gatherable():
                store.keep_checkpoint(g, progress.state())
            raise


def draw(
    modality: Modality,
    model: GenerativeModel,
    train: TrainingSet,
    n: int,
    *,
    source: int | None,
    seed: int,
) -> Stage[Samples]:
    """Draw n samples under conditions as `train` has them; each process draws its shard.

    source  the model's number among several, which is stamped on the samples; None: there is one
    """
    conditions = modality.conditions(train, n, seed=seeds.derive(seed, "conditions"))
    shard = distributed.shard(n)
    if conditions is not None:
        conditions = conditions[shard.start : shard.stop]

    batches: list[Samples] = []
    if shard:
        for batch in model.draw(shard, conditions=conditions, seed=seed):
            batches.append(batch)
            drawn = sum(map(len, batches)) * distributed.world_size()
            yield Progress("sample", drawn, n)

    samples = _gathered(batches)
    if source is not None:
        samples = samples.drawn_by(source)
    return samples


def _gathered(batches: list[Samples]) -> Samples:
    """Join what all processes drew, in the order of the ranks."""
    columns: dict[str, Any] = {}
    for field in fields(Samples):
        parts = [getattr(batch, field.name) for batch in batches]
        columns[field.name] = distributed.gather_rows([each for each in parts if each is not None])
    return Samples(**columns)


def curate(curator: Curator, measure: Measure, store: Store, g: int, seed: int) -> Stage[Tensor]:
    """Choose which of generation g's samples go on to the pool: indices, int64 [M], ascending."""
    samples = store.samples(g)
    context = Context(
        features=store.features(g),
        real=measure.real("train"),
        modality=measure.modality,
        generation0=store.model(0),
        generation=g,
        seed=seeds.derive(seed, g, "curate"),
        annotations=store.annotations_folder(g),
        drawer=partial(store.model, g),
    )

    accepted = curator(samples, context)
    yield Progress("curate", len(samples), len(samples))
    _check_accepted(accepted, len(samples))
    return accepted


def _check_accepted(accepted: Tensor, drawn: int) -> None:
    """Raise InputError for what a third party's curator must not return."""
    if accepted.dtype != torch.int64 or accepted.dim() != 1:
        what = f"returned {accepted.dtype} {list(accepted.shape)}, expected int64 indices [M]"
        remedy = "a mask's indices are mask.nonzero().flatten()"
        raise InputError(Problem("curate", what, remedy))

    if len(accepted) and not (int(accepted[0]) >= 0 and int(accepted[-1]) < drawn):
        raise InputError(Problem("curate", f"returned indices beyond the {drawn} samples"))

    if bool((accepted.diff() <= 0).any()):
        what = "returned indices that do not ascend"
        raise InputError(Problem("curate", what, "sort them, and name no sample twice"))


def score(
    measure: Measure, store: Store, g: int, train: TrainingSet, model: GenerativeModel, seed: int
) -> Stage[Measures]:
    """Measure generation g: by its features, and by what only its data or its model have.

    What is scored is the draw that the measure asks for, or else what was drawn for the pool.
    """
    if measure.samples is None:
        samples = store.samples(g)
        features = store.features(g)
    else:
        samples = store.samples(g, "evaluation")
        features = (yield from measure.features(samples)).values

    scores = yield from measure.scores(samples, features)
    generation0 = _generation0(store, measure.modality, model)
    keys = {"generation0": generation0, "seed": seeds.derive(seed, g, "metrics")}
    report("metrics of data and model")
    of_data = call_metrics(measure.modality, samples, model=model, **keys)
    of_model = call_metrics(model, samples, **keys)
    measure.check_names([*of_data.values, *of_model.values])
    of_accepted = yield from _score_accepted(measure, store, g, scores)

    parts = [scores, of_data, of_model, of_accepted]
    measures = _without_chance(Measures.joined(parts), measure.samples)
    if g == 0:
        measures = yield from _with_gate(measures, measure, model, train, seed)
    measures = measures.finite()

    described = {
        "headline": list(measure.modality.headline),
        "n_train": len(train),
        "real_share": train.real_share,
        "origins": train.origin_counts,
        "training": dict(model.training),
        "floor": dict(measures.floor),
        "reasons": dict(measures.reasons),
    }
    values = {"generation": g, **measures.values, **described}
    return Measures(values, per_sample=measures.per_sample)


def _generation0(store: Store, *owners: Any) -> GenerativeModel | None:
    """Return the model of generation 0 if the metrics of one of these read it; else do not open it.

    owners  a modality, models
    """
    if any(map(reads_generation0, owners)):
        return store.model(0)
    return None


def _score_accepted(measure: Measure, store: Store, g: int, scores: Measures) -> Stage[Measures]:
    """Score what curation accepted of the draw for the pool; nothing where there is no curation.

    scores  those of the samples that are scored
    """
    accepted = store.accepted(g)
    if accepted is None:
        return Measures()

    samples = store.samples(g)
    features = store.features(g)
    if measure.samples is not None:
        scores = yield from measure.scores(samples, features)
    return (yield from measure.of_accepted(samples, features, accepted, scores))


def _without_chance(measures: Measures, samples: int | None) -> Measures:
    """Take out what chance alone would leave, where what is scored is a draw of its own.

    Chance works on what the next generation is trained on, whose number it is not.
    """
    if samples is None:
        return measures

    names = [name for name in measures.values if name.endswith("_by_chance")]
    reason = "measure.samples scores another draw than the one that goes on to the pool"
    values = {**measures.values, **dict.fromkeys(names)}
    return replace(
        measures, values=values, reasons={**measures.reasons, **dict.fromkeys(names, reason)}
    )


def _with_gate(
    measures: Measures, measure: Measure, model: GenerativeModel, train: TrainingSet, seed: int
) -> Stage[Measures]:
    """Add whether generation 0 is a good model, and what further training on real data gains."""
    if "further_training" in measure.gate:
        gain = yield from further_training(measure.modality, model, train, seed)
        measures = Measures.joined([measures, gain])
    verdict = measure.judge_generation0(measures.values, measures.floor)
    return Measures.joined([measures, verdict])


def further_training(
    modality: Modality, model: GenerativeModel, train: TrainingSet, seed: int
) -> Stage[Measures]:
    """Train generation 0's model once more on its real data, and measure what that gains.

    That fit follows the plan of fits that start from a model (`fine_tuning`, where there is one).

    further_training  by which share the loss on held-out real data falls; near 0 for a model that
                      is trained out, below 0 for one that overfits
    """
    judge = modality.ability(HeldOutLoss)
    before = None
    report("held-out loss")
    if judge is not None:
        before = judge.held_out_loss(model)
    if judge is None or before is None:
        return _unmeasured("this kind of data or model has no held-out loss")

    fitting = model.fit(train, start=model, seed=seeds.derive(seed, "further"))
    try:
        further = yield from without_state(fitting, "gate")
    except Stopped as stop:
        return _unmeasured(f"one more fit stopped: {stop}")

    report("held-out loss")
    after = judge.held_out_loss(further)
    if after is None or not (math.isfinite(after) and math.isfinite(before) and before > 0):
        return _unmeasured(f"the held-out loss is {before} before and {after} after one more fit")
    if after == before:
        return _unmeasured("one more fit gives the very same model")
    return Measures({"further_training": 1 - after / before})


def _unmeasured(reason: str) -> Measures:
    return Measures({"further_training": None}, {"further_training": reason})


def finish(store: Store, g: int, observers: Sequence[Observer]) -> Iterator[Progress]:
    """Let observers look at generation g, then declare it finished."""
    for observer in observers:
        yield from observer(store, g)
    store.finish(g)
