"""The heart: fit, sample, measure, show, next training set; generation after generation, for any kind of data."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from functools import partial
from typing import Any

from imglab import seeds
from imglab.curation import Curator
from imglab.generation import Generation, _show
from imglab.lineage import Lineage, Start
from imglab.measure import Measure
from imglab.modality import Modality
from imglab.model import GenerativeModel
from imglab.pool import training_set
from imglab.progress import Progress
from imglab.regimes import Regime
from imglab.samples import TrainingSet
from imglab.stages import _checkpointed, _curate, _draw, _score, _stage
from imglab.store.base import MemoryStore, Store


def run_chain(
    modality: Modality,
    model: GenerativeModel | Sequence[GenerativeModel],
    regime: Regime,
    **settings: Any,
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
    lineage = Lineage.of(model, start=start, base=base)
    with store.timed(stage="reference"):
        yield from measure.prepare()
    for g in range(generations):
        if not store.finished(g):
            train = training_set(modality, regime, store, g, seed)
            weights = lineage.weights(g, store)
            fit_seed = seeds.derive(seed, g, "fit")
            fitting = lineage.model(g).fit(
                train, start=weights, seed=fit_seed, resume=store.checkpoint(g)
            )
            yield from _stage(store, g, "model", _checkpointed(fitting, store, g, checkpoint_every))

            fitted, by = store.model(g), lineage.source(g)
            drawing = _draw(modality, fitted, train, n, by, seed=seeds.derive(seed, g, "samples"))
            yield from _stage(store, g, "samples", drawing)
            drawing = _draw(
                modality, fitted, TrainingSet.of(real), shown, by, seed=seeds.derive(seed, "shown")
            )
            yield from _stage(store, g, "shown", drawing)

            if store.shows:
                yield from _stage(store, g, "exhibit", measure.exhibit(store.samples(g, "shown")))

            made = store.samples(g)
            yield from _stage(store, g, "features", measure.features(made))
            if curator:
                yield from _stage(
                    store, g, "accepted", _curate(curator, modality, measure, store, g, seed)
                )
            yield from _stage(
                store, g, "metrics", _score(modality, measure, store, train, fitted, g, seed)
            )

            store.picture(g, modality.picture, partial(_show, modality, store, g))
            store.finish(g)
            del (
                weights,
                fitting,
                fitted,
                drawing,
            )  # of a large network as few copies at a time as can be
        yield Generation(g, store.metrics(g), store)
