"""The heart: fit, sample, measure, show, next training set; generation after generation, for any kind of data."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, overload

import torch
from torch import Tensor

from imglab import processes, seeds
from imglab.curation import Context, Curator
from imglab.errors import DIVERGED, InputError, Problem, Stopped
from imglab.measure import Measure
from imglab.modality import GenerativeModel, Measures, Modality, Progress, Stage
from imglab.regimes import Regime
from imglab.samples import FRESH, Samples, Selection, TrainingSet
from imglab.store import MemoryStore, Store

Start: TypeAlias = Literal["previous", "base", "scratch"]


@dataclass(frozen=True)
class Generation:
    """A finished generation; 0 is trained on real data only. All but its metrics is read when asked for."""

    index: int
    metrics: dict[str, Any]
    store: Store

    @property
    def samples(self) -> Samples:
        """What it drew: scored, and trained on by later generations."""
        return self.store.samples(self.index)

    @property
    def shown(self) -> Samples:
        """The few drawn from the same latents or prompts in every generation, for the eye only."""
        return self.store.samples(self.index, "shown")

    @property
    def model(self) -> GenerativeModel:
        """The fitted model."""
        return self.store.model(self.index)

    def _repr_html_(self) -> str:
        from imglab.report.notebook import generation_html  # only a notebook asks

        return generation_html(self.metrics, self.shown)


def run_chain(
    modality: Modality, model: GenerativeModel | Sequence[GenerativeModel], regime: Regime, **settings: Any
) -> Iterator[Generation]:
    """Run a chain and yield each generation as it is finished; `chain_events` says what can be set."""
    events = chain_events(modality, model, regime, **settings)
    return (event for event in events if isinstance(event, Generation))


def chain_events(
    modality: Modality,
    model: GenerativeModel | Sequence[GenerativeModel],
    regime: Regime,
    *,
    generations: int,
    samples: int | None = None,
    curator: Curator | None = None,
    start: Start = "previous",
    base: GenerativeModel | Sequence[GenerativeModel | None] | None = None,
    shown: int = 64,
    seed: int = 0,
    checkpoint_every: int | None = None,
    measure: Measure | None = None,
    store: Store | None = None,
) -> Generator[Progress | Generation, None, None]:
    """Run a chain, or the rest of it: yield Progress within the stages and a Generation after each.

    modality     the kind of data, prepared (`Modality.prepare`)
    model        the model's settings; no weights are read from it. Of several, generations take turns
    regime       chooses each generation's training set
    generations  how many there are, generation 0 included
    samples      how many a generation draws; default: as many as the real training set has
    curator      chooses which of the samples drawn go on to the pool; default: all
    start        whose weights a generation is fine-tuned from: those of the `previous` one, of one `base` for all
                 (generation 0, unless `base` is given), or nobody's (`scratch`). Models that take turns start each
                 from its own last, or first, generation; `base` may then be one for each
    shown        how many more to draw for the eye, from the same latents in every generation
    checkpoint_every  samples seen in a fit between two checkpoints in the middle of it; default: none
    measure      scores samples against real data; default: `Measure` with its defaults
    store        keeps the generations; what it holds already is not made again. Default: in memory
    """
    store = store or MemoryStore()
    measure = measure or Measure(modality)
    real = modality.real("train")
    n = samples or len(real)
    models = [model] if isinstance(model, GenerativeModel) else list(model)
    bases = list(base) if isinstance(base, Sequence) else [base] * len(models)
    with store.timed(stage="reference"):
        yield from measure.prepare()
    for g in range(generations):
        if not store.finished(g):
            turn = g % len(models)
            train = _training_set(modality, regime, store, g, seed)
            weights = _start(start, bases[turn], store, g, turns=len(models))
            fit_seed = seeds.derive(seed, g, "fit")
            fitting = models[turn].fit(train, start=weights, seed=fit_seed, resume=store.checkpoint(g))
            yield from _stage(store, g, "model", _checkpointed(fitting, store, g, checkpoint_every))

            fitted, by = store.model(g), turn if len(models) > 1 else None
            drawing = _draw(modality, fitted, train, n, by, seed=seeds.derive(seed, g, "samples"))
            yield from _stage(store, g, "samples", drawing)
            drawing = _draw(modality, fitted, TrainingSet.of(real), shown, by, seed=seeds.derive(seed, "shown"))
            yield from _stage(store, g, "shown", drawing)

            if store.shows:
                yield from _stage(store, g, "exhibit", measure.exhibit(store.samples(g, "shown")))

            made = store.samples(g)
            yield from _stage(store, g, "features", measure.features(made))
            if curator:
                yield from _stage(store, g, "accepted", _curate(curator, modality, measure, store, g, seed))
            yield from _stage(store, g, "metrics", _score(modality, measure, store, train, fitted, g, seed))

            store.picture(g, modality.picture, partial(_show, modality, store, g))
            store.finish(g)
            del weights, fitting, fitted, drawing  # of a large network as few copies at a time as can be
        yield Generation(g, store.metrics(g), store)


def _training_set(modality: Modality, regime: Regime, store: Store, g: int, seed: int) -> TrainingSet:
    real = modality.real("train")
    sizes = [len(real), *(store.size(past) for past in range(g))]
    try:
        chosen = regime(sizes, generation=g, seed=seeds.derive(seed, "regime"))
    except ValueError as error:  # known only now: curation may keep any number
        what = f"generation {g} has too few samples to choose from: {error}"
        raise InputError(Problem("regime", what, "keep more, draw more (curate.oversample, samples)")) from None
    _check_selection(chosen, sizes)
    if not len(chosen):
        what = f"nothing is left to train generation {g} on"
        raise InputError(Problem("curate", what, "keep more, or choose a regime that keeps real data"))
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
                raise InputError(Problem("regime", what, "keep more apart, or use real: resampled")) from None
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
        raise InputError(Problem("regime", f"returned {type(chosen).__name__}, not imglab.Selection"))
    try:
        chosen.check(sizes)
    except ValueError as error:
        raise InputError(Problem("regime", f"returned a selection that is none of this pool: {error}")) from None


def _start(start: Start, base: GenerativeModel | None, store: Store, g: int, *, turns: int) -> GenerativeModel | None:
    if start == "scratch":
        return None
    if g < turns or (start == "base" and base is not None):
        return base
    return store.model(g % turns if start == "base" else g - turns)


def _checkpointed(work: Stage[GenerativeModel], store: Store, g: int, every: int | None) -> Stage[GenerativeModel]:
    """Pass a fit's progress on, keeping its state now and then, and when the caller stops in the middle of it."""
    last = 0
    while True:
        try:
            progress = next(work)
        except StopIteration as end:
            fitted: GenerativeModel = end.value
            return fitted
        if progress.loss is not None and not math.isfinite(progress.loss):
            what = f"the loss of generation {g} became {progress.loss} after {progress.seen} samples"
            raise Stopped(f"{what}; {DIVERGED}")
        if every and progress.state and progress.seen - last >= every:
            store.keep_checkpoint(g, progress.state())
            last = progress.seen
        try:
            yield progress
        except GeneratorExit:
            if progress.state and processes.whole():
                store.keep_checkpoint(g, progress.state())
            raise


def _draw(
    modality: Modality, fitted: GenerativeModel, train: TrainingSet, n: int, turn: int | None, *, seed: int
) -> Stage[Samples]:
    conditions = modality.conditions(train, n, seed=seeds.derive(seed, "conditions"))
    mine, parts = processes.share(n), list[Samples]()
    told = None if conditions is None else conditions[mine.start : mine.stop]
    for part in fitted.draw(mine, conditions=told, seed=seed) if mine else ():
        parts.append(part)
        yield Progress("sample", sum(map(len, parts)) * processes.count(), n)
    drawn = processes.joined(parts, Samples.concatenate)
    return drawn if turn is None else drawn.drawn_by(turn)


def _curate(curator: Curator, modality: Modality, measure: Measure, store: Store, g: int, seed: int) -> Stage[Tensor]:
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
        raise InputError(Problem("curate", "returned indices that do not ascend", "sort them, none twice"))
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


def _show(modality: Modality, store: Store, g: int, path: Path) -> None:
    modality.render(_Shown(store, g + 1), path)


class _Shown(Sequence[Samples]):
    """What each generation shows, read when it is asked for: most pictures need the last one alone."""

    def __init__(self, store: Store, count: int) -> None:
        self._store, self._generations = store, range(count)

    def __len__(self) -> int:
        return len(self._generations)

    @overload
    def __getitem__(self, at: int) -> Samples: ...

    @overload
    def __getitem__(self, at: slice) -> list[Samples]: ...

    def __getitem__(self, at: int | slice) -> Samples | list[Samples]:
        if isinstance(at, slice):
            return [self._store.samples(g, "shown") for g in self._generations[at]]
        return self._store.samples(self._generations[at], "shown")


def _stage(store: Store, g: int, name: str, work: Stage[Any]) -> Iterator[Progress]:
    """Do the work of a stage and store what it returns, unless the store has it already."""
    if not store.has(g, name):
        with store.timed(generation=g, stage=name):
            made = yield from work
        store.put(g, name, made)
