"""Curation: exact in its counts, blind to order, and seen in the run directory."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from imglab import curation, regimes
from imglab.curation import Context
from imglab.errors import InputError
from imglab.measure import Measure
from imglab.model import HasAbilities
from imglab.running.run import Run
from imglab.samples import FRESH, Samples, Selection, TrainingSet
from imglab.solvable.gaussian.modality import GaussianModality
from imglab.solvable.gaussian.settings import GaussianDataSettings
from tests.text_fixtures import finish as result
from tests.tiny_chains import TINY_IMAGE, write


def context(features, *, real=None, seed=1, first=None):
    modality = GaussianModality(
        GaussianDataSettings(dimensions=features.shape[1], n_train=20, n_test=20)
    )
    real = (
        torch.randn(20, features.shape[1], generator=torch.Generator().manual_seed(3))
        if real is None
        else real
    )
    return Context(features, real, modality, first, 0, seed)


class Judge(HasAbilities):
    """Gives each sample a density of its own."""

    def __init__(self, scores):
        self.scores = scores

    def log_density(self, samples):
        return self.scores


@given(st.integers(1, 60), st.floats(0.01, 1), st.integers(0, 10))
@settings(deadline=None, max_examples=60)
def test_a_share_is_kept_exactly_once_each(n, keep, seed):
    features = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))
    drawn, asked = (
        Samples.drawn(features),
        context(features, seed=seed, first=Judge(features[:, 0].double())),
    )
    for curator in (curation.random, curation.oracle, curation.density, curation.diversity):
        accepted = curator(drawn, asked, keep=keep)
        assert len(accepted) == curation.kept_size(n, keep)
        assert accepted.tolist() == sorted(set(accepted.tolist()))
        assert not len(accepted) or (accepted.min() >= 0 and accepted.max() < n)
        assert torch.equal(accepted, curator(drawn, asked, keep=keep))


@given(st.integers(1, 10_000), st.floats(0.001, 1))
def test_enough_are_drawn_for_the_pool_to_get_its_size(samples, keep):
    assert curation.kept_size(curation.drawn_size(samples, keep), keep) == samples


def test_the_best_are_kept():
    features = torch.tensor([[5.0], [0.1], [3.0], [0.2], [float("nan")]])
    drawn, real = Samples.drawn(features), torch.zeros(4, 1)
    asked = context(features[:4], real=real)
    assert curation.oracle(drawn[:4], asked, keep=0.5).tolist() == [1, 3]
    scores = torch.tensor([1.0, float("nan"), 9.0, 2.0, 9.0], dtype=torch.float64)
    assert curation.density(drawn, context(features, first=Judge(scores)), keep=0.4).tolist() == [
        2,
        4,
    ]


def test_diversity_spreads_and_survives_repeats():
    features = torch.tensor([[0.0], [0.0], [0.0], [10.0], [-10.0], [0.1]])
    accepted = curation.diversity(Samples.drawn(features), context(features), keep=0.5)
    assert set(accepted.tolist()) >= {3, 4}
    same = torch.zeros(6, 2)
    assert len(set(curation.diversity(Samples.drawn(same), context(same), keep=1.0).tolist())) == 6


@given(st.integers(1, 700), st.integers(1, 30), st.integers(0, 5))
@settings(deadline=None, max_examples=20)
def test_exact_repeats_are_dropped_once(n, kinds, seed):
    values = torch.randint(kinds, (n, 1), generator=torch.Generator().manual_seed(seed)).float()
    accepted = curation.duplicates(Samples.drawn(values), context(values), distance=0.0)
    first = {float(value): at for at, value in reversed(list(enumerate(values.flatten())))}
    assert accepted.tolist() == sorted(first.values())


def test_near_duplicates_are_measured_in_real_neighbour_distances():
    real = torch.arange(10.0)[:, None] * 2  # each is 2 from the next
    features = torch.tensor([[0.0], [0.9], [1.9], [2.1], [7.0]])
    accepted = curation.duplicates(
        Samples.drawn(features), context(features, real=real), distance=0.5
    )
    assert accepted.tolist() == [0, 2, 4]


class Marked(GaussianModality):
    """Vectors whose first number is the strength of their mark."""

    def watermark_scores(self, samples, *, key):
        return samples.data[:, 0].double()


def test_a_detector_errs_as_often_as_it_is_told_to():
    modality = Marked(GaussianDataSettings(dimensions=1, n_train=5000, n_test=20))
    marked = torch.cat(
        [
            torch.full((4000, 1), 50.0),
            torch.randn(4000, 1, generator=torch.Generator().manual_seed(0)),
        ]
    )
    unused: Any = None
    asked = Context(marked, marked[:9], modality, unused, 0, 1)
    drop = partial(
        curation.drop_watermarked, Samples.drawn(marked), asked, key=1, false_positive_rate=0.05
    )
    kept = drop(error_rate=0.0)
    assert kept.min() >= 4000
    assert abs(len(kept) / 4000 - 0.95) < 4 * (0.05 * 0.95 / 4000) ** 0.5 + 0.015
    kept = drop(error_rate=0.1)
    assert abs(int((kept < 4000).sum()) / 4000 - 0.1) < 4 * (0.1 * 0.9 / 4000) ** 0.5


@given(
    st.lists(st.integers(2, 12), min_size=2, max_size=5),
    st.sampled_from(
        ["replace", "accumulate", "accumulate_subsample", "mix", "sliding_window", "real_only"]
    ),
    st.integers(0, 3),
)
@settings(deadline=None, max_examples=80)
def test_lineage_through_curation_is_exact(sizes, name, seed):
    """Whatever regime and whatever was accepted: only accepted rows, with their origin,
    none twice.
    """
    assume(name != "mix" or sizes[-1] <= 4 * sizes[0])  # half of it are real ones, none twice
    options: dict[str, dict[str, Any]] = {
        "mix": {"real_fraction": 0.5},
        "sliding_window": {"window": 2},
    }
    keys = options.get(name, {})
    entries = {
        at: Samples(
            torch.arange(2.0 * n)[:, None] + 1000 * at,
            None,
            *(torch.full((2 * n,), at - 1).short(),) * 2,
        )
        for at, n in enumerate(sizes)
    }
    generator = torch.Generator().manual_seed(seed)
    accepted = {
        at: torch.randperm(2 * n, generator=generator)[:n].sort().values
        for at, n in enumerate(sizes)
        if at
    }
    pooled = [2 * sizes[0], *sizes[1:]]
    chosen = getattr(regimes, name)(pooled, generation=len(sizes) - 1, seed=seed, **keys)
    train = TrainingSet(entries, chosen.through(accepted)).all()
    rows = train.data.flatten().tolist()
    assert len(rows) == len(chosen) == len(set(rows))
    for value, origin in zip(rows, train.origin.tolist(), strict=True):
        entry, row = divmod(int(value), 1000)
        assert origin == entry - 1
        assert entry == 0 or row in accepted[entry].tolist()


def test_fresh_rows_pass_through_uncurated():
    chosen = Selection(torch.tensor([FRESH, 1, FRESH]), torch.tensor([4, 0, 5])).through(
        {1: torch.tensor([7])}
    )
    assert chosen.index.tolist() == [4, 7, 5]


def test_density_needs_a_model_that_has_one(tmp_path):
    config = write(tmp_path, TINY_IMAGE)
    with pytest.raises(
        InputError, match="needs a model that provides log_density; DiffusionModel does not"
    ):
        Run.from_file(config, tmp_path / "run", ["curate=density"])


def test_recall_of_a_verifier_that_keeps_only_what_is_wrong():
    modality = GaussianModality(GaussianDataSettings(dimensions=2, n_train=60, n_test=60))
    measure = Measure(modality)
    result(measure.prepare())
    near, far = modality.real("test").data[:30], torch.full((30, modality.spec.shape[0]), 50.0)
    far += torch.arange(30.0)[:, None] * 20
    samples = Samples.drawn(torch.cat([near, far]))
    features = modality.features(samples)
    scores = result(measure.scores(samples, features))
    wrong = result(measure.of_accepted(samples, features, torch.arange(30, 60), scores))
    assert wrong.values["verifier_recall"] == 0
    few = result(measure.of_accepted(samples, features, torch.arange(2), scores))
    assert few.values["verifier_recall"] is None
    assert "samples" in few.reasons["verifier_recall"]
