"""The loop through its public face: what a caller sees, starts, lineage, and that it knows no kind
of data.
"""

from __future__ import annotations

from functools import partial

import pytest
import torch

import imglab
from imglab import regimes
from imglab.errors import InputError, Stopped
from imglab.generation import Generation
from imglab.loop import chain_events, run_chain
from imglab.modality import Modality, Spec
from imglab.model import GenerativeModel
from imglab.progress import Progress
from imglab.regimes import Regime
from imglab.samples import FRESH, REAL, Samples, Selection
from imglab.solvable.gaussian.modality import GaussianModality
from imglab.solvable.gaussian.model import GaussianModel
from imglab.solvable.gaussian.settings import GaussianDataSettings, GaussianModelSettings
from imglab.store.base import MemoryStore


def gaussian(n=40, **settings) -> tuple[GaussianModality, GaussianModel]:
    modality = GaussianModality(
        GaussianDataSettings(dimensions=2, n_train=n, n_test=30, **settings)
    )
    return modality, GaussianModel(GaussianModelSettings())


class Counter(Modality):
    """Numbers; each is its own feature."""

    def __init__(self):
        self.asked = []

    spec = Spec((1,), torch.float32)
    extractor = "identity"

    def real(self, split):
        return Samples.real(torch.arange(12.0 if split == "train" else 10.0)[:, None])

    def features(self, samples):
        return samples.data

    def render(self, shown, path):
        self.asked.append(len(shown))


class Adder(GenerativeModel):
    """Knows which start it had: its value is one more than its start's, and it draws that value."""

    def __init__(self, value=0):
        self.value = value

    def fit(self, train, *, start, seed, resume=None):
        self.trained_on = train
        yield Progress("fit", len(train), len(train))
        return type(self)(1 if start is None else start.value + 1)

    def draw(self, indices, *, conditions, seed):
        noise = [
            torch.rand(1, generator=torch.Generator().manual_seed(seed % 1000 + i)) for i in indices
        ]
        yield Samples.drawn(torch.stack(noise) + self.value)

    def save(self, path):
        path.mkdir()
        (path / "value").write_text(str(self.value))

    @classmethod
    def load(cls, path):
        return cls(int((path / "value").read_text()))


def values(start, base=None):
    chain = run_chain(Counter(), Adder(), regimes.replace, generations=4, start=start, base=base)
    models = [generation.model for generation in chain]
    assert all(isinstance(model, Adder) for model in models)
    return [model.value for model in models if isinstance(model, Adder)]


def test_starts():
    assert values("previous") == [1, 2, 3, 4]
    assert values("base") == [1, 2, 2, 2]
    assert values("scratch") == [1, 1, 1, 1]


def test_a_named_base_is_where_generation_0_starts_too():
    assert values("previous", Adder(10)) == [11, 12, 13, 14]
    assert values("base", Adder(10)) == [11, 11, 11, 11]


def test_a_chain_is_a_generator():
    """The caller's own `for` decides: nothing is made before it is asked for."""
    store = MemoryStore()
    chain = run_chain(*gaussian(), regimes.replace, generations=5, store=store)
    assert next(chain).index == 0
    assert next(chain).index == 1
    assert not store.has(2, "model")


def test_events_tell_progress_within_stages():
    events = list(chain_events(*gaussian(), regimes.replace, generations=2))
    stages = [event.stage for event in events if isinstance(event, Progress)]
    assert set(stages) == {"fit", "sample", "measure", "floor"}
    assert [event.index for event in events if isinstance(event, Generation)] == [0, 1]
    assert all(0 < event.seen <= event.total for event in events if isinstance(event, Progress))


def test_same_seed_same_chain_and_global_state_untouched():
    before = torch.random.get_rng_state()

    def final(seed):
        *_, last = run_chain(*gaussian(), regimes.accumulate_subsample, generations=4, seed=seed)
        return last.samples.data

    assert torch.equal(final(1), final(1))
    assert not torch.equal(final(1), final(2))
    assert torch.equal(before, torch.random.get_rng_state())


def test_generation_0_is_the_same_in_every_regime():
    chosen: list[Regime] = [
        regimes.replace,
        regimes.accumulate,
        regimes.accumulate_subsample,
        partial(regimes.mix, real_fraction=0.5, real="fresh"),
    ]
    firsts = [next(run_chain(*gaussian(), regime, generations=1)) for regime in chosen]
    assert all(first.metrics == firsts[0].metrics for first in firsts)
    assert all(torch.equal(first.samples.data, firsts[0].samples.data) for first in firsts)


def test_a_loss_that_is_no_number_stops_the_chain():
    class Exploding(Adder):
        def fit(self, train, *, start, seed, resume=None):
            yield Progress("fit", 6, 12, 0.5)
            yield Progress("fit", 12, 12, float("nan") if start else 0.4)
            return Exploding()

    chain = run_chain(Counter(), Exploding(), regimes.replace, generations=3)
    assert next(chain).index == 0
    with pytest.raises(Stopped, match="the loss of generation 1 became nan after 12 samples"):
        next(chain)


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        ([1, 2], "returned list, expected imglab.Selection"),
        (
            Selection(torch.tensor([0]), torch.tensor([40])),
            "an index is beyond its entry's samples",
        ),
        (
            Selection(torch.tensor([0]), torch.tensor([-1])),
            "an index is beyond its entry's samples",
        ),
        (Selection(torch.tensor([9]), torch.tensor([0])), "an entry is beyond the pool's 1"),
        (Selection(torch.tensor([0.0]), torch.tensor([0])), "must be int64"),
    ],
)
def test_what_a_regime_must_not_return(returned, told):
    with pytest.raises(InputError, match=told):
        next(run_chain(*gaussian(), lambda sizes, *, generation, seed: returned, generations=1))


def test_a_regime_may_pick_fresh_samples_in_any_order():
    """With gaps and repeats: the stream is asked for as far as the last one."""

    def picky(sizes, *, generation, seed):
        if generation == 0:
            return regimes.replace(sizes, generation=0, seed=seed)
        rows = torch.tensor([9, 3, 3, 20] + [5] * 36)
        return Selection(torch.full_like(rows, FRESH), rows)

    *_, last = run_chain(*gaussian(), picky, generations=2)
    assert last.metrics["real_share"] == 1


def test_samples_carry_their_generation():
    for generation in run_chain(*gaussian(), regimes.replace, generations=3):
        assert set(generation.samples.origin.tolist()) == {generation.index}


def test_metrics_say_what_was_trained_on():
    regime = partial(regimes.mix, real_fraction=0.25)
    rows = [generation.metrics for generation in run_chain(*gaussian(), regime, generations=2)]
    assert [row["real_share"] for row in rows] == [1.0, 0.25]
    assert [row["n_train"] for row in rows] == [40, 40]
    accumulated = [
        row.metrics["real_share"]
        for row in run_chain(*gaussian(), regimes.accumulate, generations=3)
    ]
    assert accumulated == pytest.approx([1, 1 / 2, 1 / 3])


def test_shown_samples_come_from_the_same_latents():
    """A model that does not change shows the same picture in every generation."""
    chain = list(
        run_chain(Counter(), Adder(), regimes.replace, generations=3, start="scratch", shown=5)
    )
    assert torch.equal(chain[0].shown.data, chain[2].shown.data)
    assert not torch.equal(chain[0].samples.data, chain[2].samples.data)


def test_every_number_stands_beside_its_floor_and_extractor():
    first = next(run_chain(*gaussian(n=60), regimes.replace, generations=1)).metrics
    assert first["extractor"] == "identity"
    assert (first["n_real"], first["n_synthetic"], first["reference"]) == (30, 60, "test")
    for name in (
        "fid",
        "kid",
        "precision",
        "recall",
        "density",
        "coverage",
        "vendi",
        "nearest_distance",
    ):
        assert first[name] is not None
        assert first["floor"][name]["mean"] is not None
    assert first["floor"]["precision"]["mean"] > 0.7


def test_a_floor_that_the_data_cannot_give_is_null_with_a_reason():
    first = next(run_chain(*gaussian(), regimes.replace, generations=1, samples=500)).metrics
    assert first["floor"]["fid"] is None
    assert first["floor"]["reason"] == "a floor needs 30 + 500 real samples, there are 70"


def test_an_undefined_metric_is_null_with_a_reason():
    first = next(run_chain(*gaussian(), regimes.replace, generations=1, samples=5)).metrics
    assert first["precision"] is None
    assert first["reasons"]["precision"] == "needs at least 6 synthetic samples, has 5"
    assert first["fid"] is not None


def test_public_names_are_importable():
    for name in imglab.__all__:
        assert getattr(imglab, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        imglab.nonsense  # noqa: B018


def test_real_samples_have_the_origin_real():
    modality, _ = gaussian()
    assert set(modality.real("train").origin.tolist()) == {REAL}
