"""Generation 0's model is opened only where a metric reads it."""

from __future__ import annotations

from collections import Counter

from imglab import regimes, run_chain
from imglab.measure import Measure
from imglab.measures import Measures
from imglab.model import reads_generation0
from imglab.solvable.gaussian.modality import GaussianModality
from imglab.solvable.gaussian.model import GaussianModel
from imglab.solvable.gaussian.settings import GaussianDataSettings, GaussianModelSettings
from imglab.store.base import MemoryStore


class Counting(MemoryStore):
    """A store that counts how often each model is asked for while a generation is scored."""

    def __init__(self, *arguments, **keys):
        super().__init__(*arguments, **keys)
        self.asked: Counter[int] = Counter()

    def model(self, g):
        self.asked[g] += 1
        return super().model(g)


class Reading(GaussianModality):
    """Data with a metric that reads generation 0's model."""

    def metrics(self, samples, *, model, generation0, seed):
        return Measures({"is_a_model": isinstance(generation0, GaussianModel)})


def chain_of(kind):
    modality = kind(GaussianDataSettings(dimensions=2, n_train=40, n_test=40))
    store = Counting()
    chain = run_chain(
        modality,
        GaussianModel(GaussianModelSettings()),
        regimes.replace,
        generations=3,
        samples=40,
        measure=Measure(modality, floor_splits=2),
        store=store,
    )
    return list(chain), store


def test_a_model_that_no_metric_reads_is_not_opened():
    generations, store = chain_of(Reading)
    assert all(generation.metrics["is_a_model"] for generation in generations)
    assert reads_generation0(Reading.__new__(Reading))

    _, without = chain_of(GaussianModality)
    assert not reads_generation0(GaussianModality.__new__(GaussianModality))
    assert store.asked[0] - without.asked[0] == 3, "once for each generation"
