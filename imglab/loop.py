"""The chain: fit, draw, measure, choose the next training set; generation after generation.

The loop knows no kind of data, no config and no file. It is a generator, so that callers print,
plot and stop early in their own `for`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from imglab import stages
from imglab.curation import Curator
from imglab.generation import Generation, Pictures, finished_generations
from imglab.lineage import Lineage, Start
from imglab.measure import Measure
from imglab.modality import Modality
from imglab.model import GenerativeModel
from imglab.pool import training_set
from imglab.progress import Progress
from imglab.regimes import Regime
from imglab.remedies import Remedy
from imglab.samples import TrainingSet
from imglab.seeds import derive
from imglab.stages import Observer
from imglab.store.base import MemoryStore, Store


@dataclass(frozen=True)
class Chain:
    """Everything that a chain is made of; `chain_events` explains the parts."""

    modality: Modality
    lineage: Lineage
    regime: Regime
    measure: Measure
    curator: Curator | None
    observers: Sequence[Observer]
    generations: int
    samples: int
    shown: int
    seed: int
    checkpoint_every: int | None

    def events(self, store: Store) -> Generator[Progress | Generation, None, None]:
        """Make what `store` does not hold yet; yield each generation as it is finished."""
        with store.timed(stage="reference"):
            yield from self.measure.prepare()

        for g in range(self.generations):
            if not store.finished(g):
                yield from self._make(store, g)
            yield Generation(g, store.metrics(g), store)

    def _make(self, store: Store, g: int) -> Iterator[Progress]:
        do = partial(stages.keep, store, g)
        real = TrainingSet.of(self.modality.real("train"))
        train = training_set(self.regime, self.modality, store, g, seed=self.seed)

        # Fit this generation's model, from the weights that its lineage names.
        fitting = stages.fit(self.modality, self.lineage, store, g, train, self.seed)
        yield from do("model", stages.checkpointed(fitting, store, g, self.checkpoint_every))

        # Draw what is scored and trained on; and for the eye a few from the same noise each time.
        model = store.model(g)
        draw = partial(stages.draw, self.modality, model, source=self.lineage.source(g))
        yield from do("samples", draw(train, self.samples, seed=derive(self.seed, g, "samples")))
        yield from do("shown", draw(real, self.shown, seed=derive(self.seed, "shown")))
        if self.measure.samples is not None:
            apart = draw(train, self.measure.samples, seed=derive(self.seed, g, "evaluation"))
            yield from do("evaluation", apart)

        # Choose which samples go on to the pool, and measure those and all that were drawn. Where a
        # draw of its own is scored, only curators look at the features of what goes on.
        if self.curator or self.measure.samples is None:
            yield from do("features", self.measure.features(store.samples(g)))
        if self.curator:
            curating = stages.curate(self.curator, self.measure, store, g, self.seed)
            yield from do("accepted", curating)
        yield from do("metrics", stages.score(self.measure, store, g, train, model, self.seed))

        yield from stages.finish(store, g, self.observers)


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
    remedies: Sequence[Remedy] = (),
    shown: int = 64,
    seed: int = 0,
    pictures: Literal["each", "last"] | None = None,
    checkpoint_every: int | None = None,
    measure: Measure | None = None,
    store: Store | None = None,
) -> Generator[Progress | Generation, None, None]:
    """Run a chain, or the rest of it: yield Progress within stages and a Generation after each.

    modality     the kind of data, prepared (`Modality.prepare`)
    model        the model's settings; no weights are read from it. Several models take turns
    regime       chooses each generation's training set
    generations  how many generations there are, generation 0 included
    samples      how many samples a generation draws; default: the size of the real training set
    curator      chooses which of the samples go on to the pool; default: all of them
    start, base, remedies  whose weights a fit starts from, and what changes it (`Lineage`)
    shown        how many more samples to draw for the eye, from the same noise in each generation
    pictures     of which generations there are pictures on disk; default: `Modality.pictures`
    checkpoint_every  samples seen between two checkpoints of a fit; default: no checkpoints
    measure      scores samples against real data; default: `Measure` with its defaults
    store        keeps the generations; what it holds is not made again. Default: in memory
    """
    store = store or MemoryStore()
    measure = measure or Measure(modality)
    samples = samples or len(modality.real("train"))
    lineage = Lineage.of(model, start=start, base=base, remedies=remedies)

    observers = []
    if store.shows:
        each = (pictures or modality.pictures) == "each"
        observers.append(Pictures(measure, derive(seed, "panel"), each=each, last=generations - 1))
    parts = (modality, lineage, regime, measure, curator, observers)
    return Chain(*parts, generations, samples, shown, seed, checkpoint_every).events(store)


run_chain = finished_generations(chain_events)
"""As `chain_events`, but yield nothing else than each generation as it is finished."""
