"""Chains of more than one model: shares are exact, each sample knows who drew it, generations take
turns.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imglab import Progress, load_model
from imglab.errors import InputError
from imglab.mixed.population import Population
from imglab.mixed.shares import assign, check_parts
from imglab.progress import finish as finish_fit
from imglab.running.run import Run
from imglab.samples import Samples, TrainingSet
from imglab.solvable.gaussian.model import GaussianModel
from imglab.solvable.gaussian.settings import GaussianModelSettings
from imglab.store import model_folder
from imglab.store.reader import RunFolder
from tests.tiny_chains import TINY_CHAIN, TINY_GAUSSIAN, TINY_IMAGE, finish, hashes, write

TWO = {
    "kind": "population",
    "models": ["gaussian", {"kind": "kde", "bandwidth": 0.2}],
    "shares": [0.3, 0.7],
}
TURNS = {"kind": "alternating", "models": ["gaussian", {"kind": "kde", "bandwidth": 0.2}]}


@given(st.lists(st.integers(1, 20), min_size=2, max_size=6), st.integers(1, 400))
def test_each_member_draws_its_share_whatever_the_length(parts, n):
    shares = [part / sum(parts) for part in parts]
    counts = torch.bincount(assign(shares, n), minlength=len(parts)).tolist()
    assert sum(counts) == n
    assert all(
        abs(count - share * n) < len(parts) for count, share in zip(counts, shares, strict=True)
    )
    assert assign(shares, n).tolist() == assign(shares, 500)[:n].tolist()


def fitted(n=50):
    train = TrainingSet.of(
        Samples.real(torch.randn(n, 2, generator=torch.Generator().manual_seed(0)))
    )
    population = Population(
        [GaussianModel(GaussianModelSettings()) for _ in range(3)], [0.2, 0.5, 0.3]
    )
    return finish_fit(population.fit(train, start=None, seed=1))


@given(st.integers(1, 60), st.integers(0, 59))
@settings(deadline=None)
def test_a_sample_is_the_same_wherever_the_batch_begins(n, first):
    model = fitted()
    whole = model.sample(n, seed=4)
    first = min(first, n - 1)
    tail = Samples.concatenate(list(model.draw(range(first, n), conditions=None, seed=4)))
    assert torch.allclose(tail.data, whole.data[first:])
    assert torch.equal(tail.source, whole.source[first:])


class Sees(GaussianModel):
    """Notes the rows that it is trained on."""

    def fit(self, train, **keys):
        self.rows = train.all().data.flatten().tolist()
        self.its_weights = train.weights
        return super().fit(train, **keys)


def fit_in_parts(shares, train, seed=0):
    members = [Sees(GaussianModelSettings()) for _ in shares]
    finish_fit(Population(members, shares, in_parts=True).fit(train, start=None, seed=seed))
    return members


class TestParts:
    def test_every_sample_is_seen_by_one_member_and_each_sees_its_share(self):
        train = TrainingSet.of(Samples.real(torch.arange(40.0)[:, None]))
        members = fit_in_parts([0.5, 0.25, 0.25], train)

        assert [len(member.rows) for member in members] == [20, 10, 10]
        seen = [row for member in members for row in member.rows]
        assert sorted(seen) == list(range(40))

    def test_they_are_dealt_by_the_seed_and_not_by_the_order_of_the_pool(self):
        train = TrainingSet.of(Samples.real(torch.arange(40.0)[:, None]))
        first, *_ = fit_in_parts([0.5, 0.5], train)
        again, *_ = fit_in_parts([0.5, 0.5], train)
        other, *_ = fit_in_parts([0.5, 0.5], train, seed=1)

        assert first.rows == again.rows
        assert first.rows != other.rows
        assert first.rows != list(range(0, 40, 2))

    def test_a_population_that_starts_from_itself_goes_on_with_its_parts(self, tmp_path):
        train = TrainingSet.of(Samples.real(torch.arange(40.0)[:, None]))
        members = [GaussianModel(GaussianModelSettings()) for _ in range(2)]
        population = Population(members, [0.5, 0.5], in_parts=True)
        fitted = finish_fit(population.fit(train, start=None, seed=3))
        model_folder.save_model(fitted, tmp_path / "model")
        loaded = model_folder.load_model(tmp_path / "model")

        for model in (fitted, loaded):
            again = finish_fit(model.fit(train, start=model, seed=4))
            same = finish_fit(population.fit(train, start=None, seed=3))
            other = finish_fit(population.fit(train, start=None, seed=4))
            assert torch.equal(again.sample(9, seed=0).data, same.sample(9, seed=0).data)
            assert not torch.equal(again.sample(9, seed=0).data, other.sample(9, seed=0).data)

    def test_weights_go_with_their_samples(self):
        samples = Samples.real(torch.arange(40.0)[:, None])
        weights = torch.arange(40.0, dtype=torch.float64)
        train = TrainingSet.of(samples).weighted(weights / weights.mean())
        for member in fit_in_parts([0.5, 0.5], train):
            rows = torch.tensor(member.rows, dtype=torch.float64)
            torch.testing.assert_close(member.its_weights, rows / rows.mean())

    @pytest.mark.parametrize(("in_parts", "variance"), [(True, 13 / 24), (False, 23 / 48)])
    def test_what_parts_differ_by_is_not_lost_to_a_sampler_that_seeks_the_mode(
        self, in_parts, variance
    ):
        """Of n samples, K parts keep lambda (1 - K / n) within and (K - 1) / n between them, one
        pool lambda (1 - 1 / n).
        """
        settings = GaussianModelSettings(sampling_bias=0.5)
        drawn = []
        for seed in range(40):
            data = torch.randn(24, 20, generator=torch.Generator().manual_seed(seed))
            members = [GaussianModel(settings) for _ in range(4)]
            population = Population(members, [0.25] * 4, in_parts=in_parts)
            train = TrainingSet.of(Samples.real(data))
            fitted = finish_fit(population.fit(train, start=None, seed=seed))
            drawn.append(fitted.sample(400, seed=seed).data.var(0, correction=0).mean())

        each = torch.stack(drawn)
        assert each.mean().item() == pytest.approx(variance, abs=4 * each.std().item() / 40**0.5)

    def test_too_few_samples_for_all_members_are_said(self):
        train = TrainingSet.of(Samples.real(torch.arange(7.0)[:, None]))
        with pytest.raises(InputError, match="7 training samples are too few for 4 parts"):
            fit_in_parts([0.25] * 4, train)

    @pytest.mark.parametrize("members", [3, 7, 49])
    def test_two_samples_for_each_member_are_enough(self, members):
        check_parts([1 / members] * members, 2 * members)
        with pytest.raises(InputError, match="too few"):
            check_parts([1 / members] * members, 2 * members - 1)

    def test_a_run_checks_what_its_regime_trains_on(self, tmp_path):
        models = ["gaussian"] * 4
        population = {"kind": "population", "train_on": "parts", "models": models}
        config = {**TINY_GAUSSIAN, "samples": 7, "model": population}
        Run.from_file(write(tmp_path, {**config, "regime": "accumulate"}), tmp_path / "accumulated")
        with pytest.raises(InputError, match="7 training samples are too few for 4 parts"):
            Run.from_file(write(tmp_path, config), tmp_path / "replaced")

    def test_a_chain_of_parts_goes_on_to_the_same_bytes(self, tmp_path):
        model = {**TWO, "train_on": "parts"}
        config = write(tmp_path, {**TINY_GAUSSIAN, "model": model})
        finish(config, tmp_path / "whole")
        finish(config, tmp_path / "cut", ["generations=1"])
        finish(config, tmp_path / "cut")
        assert hashes(tmp_path / "cut") == hashes(tmp_path / "whole")


def test_a_population_trains_on_the_pool_of_all(tmp_path):
    config = write(tmp_path, {**TINY_GAUSSIAN, "regime": "accumulate", "model": TWO})
    found = finish(config, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    for g in range(3):
        counts = torch.bincount(run.samples(g).source.long()).tolist()
        assert counts == [9, 21]
        assert run.metrics(g)["source_counts"] == {"0": 9, "1": 21}
        assert set(run.metrics(g)["variance_by_source"]) == {"0", "1"}
    assert found[2].metrics["n_train"] == 90
    assert found[2].metrics["training"]["samples_seen"] == 180
    loaded = load_model(tmp_path / "run/generation_002/model")
    assert [type(member).__name__ for member in loaded.members] == ["GaussianModel", "KdeModel"]


def test_generations_take_turns(tmp_path):
    config = write(tmp_path, {**TINY_GAUSSIAN, "generations": 5, "model": TURNS})
    found = finish(config, tmp_path / "run")
    kinds = [type(generation.model).__name__ for generation in found]
    assert kinds == ["GaussianModel", "KdeModel", "GaussianModel", "KdeModel", "GaussianModel"]
    run = RunFolder(tmp_path / "run")
    assert [run.samples(g).source.unique().tolist() for g in range(5)] == [[0], [1], [0], [1], [0]]


def test_models_that_take_turns_resume_to_the_same_bytes(tmp_path):
    config = write(tmp_path, {**TINY_GAUSSIAN, "generations": 4, "model": TURNS})
    finish(config, tmp_path / "whole")
    for stop in (1, 2, 3):
        finish(config, tmp_path / f"cut{stop}", [f"generations={stop}"])
        finish(config, tmp_path / f"cut{stop}")
        assert hashes(tmp_path / f"cut{stop}") == hashes(tmp_path / "whole")


def test_each_starts_from_its_own_last_generation(tmp_path):
    small = {
        **TINY_CHAIN["model"],
        "network": {"kind": "gpt2", "layers": 1, "width": 24, "heads": 2},
    }
    both = {"kind": "alternating", "models": [TINY_CHAIN["model"], small]}
    config = write(tmp_path, {**TINY_CHAIN, "generations": 4, "start": "previous", "model": both})
    found = finish(config, tmp_path / "run")
    widths = [generation.model.network.config.n_embd for generation in found]
    assert widths[0] == widths[2] != widths[1] == widths[3] == 24
    plan = {
        index: generation.metrics["training"]["samples_seen"]
        for index, generation in enumerate(found)
    }
    assert plan[2] == plan[3]


def test_a_population_of_language_models(tmp_path):
    both = {"kind": "population", "models": [TINY_CHAIN["model"], {"kind": "ngram", "order": 2}]}
    config = write(tmp_path, {**TINY_CHAIN, "start": "scratch", "model": both})
    metrics = finish(config, tmp_path / "run")[1].metrics
    assert set(metrics["perplexity_by_source"]) == {"0", "1"}
    each = list(metrics["perplexity_by_source"].values())
    assert metrics["perplexity"] == pytest.approx(sum(each) / 2)
    assert metrics["reference_perplexity"] > 1


def test_the_mixture_knows_its_density():
    model = fitted()
    drawn = model.sample(5, seed=0)
    each = torch.stack([member.log_density(drawn) for member in model.members]).exp()
    weighted = (each * torch.tensor([[0.2], [0.5], [0.3]])).sum(0).log()
    assert torch.allclose(model.log_density(drawn), weighted)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({**TWO, "shares": [0.5, 0.6]}, "shares sum to 1.1, not to 1"),
        ({**TWO, "shares": [1.0]}, "shares has 1 values for 2 models"),
        ({**TWO, "models": ["gaussian"]}, "model.models: must have at least 2 items"),
        (
            {**TWO, "models": ["gaussian", {"kind": "kde", "bandwith": 1}]},
            "bandwith: unknown key .*'bandwidth'",
        ),
        (
            {**TWO, "models": ["gaussian", "gauss"]},
            "'gauss' is not a known kind .*did you mean 'gaussian'",
        ),
        ({**TWO, "models": ["gaussian", "ngram"]}, "model.models.1.kind: .*text"),
    ],
)
def test_wrong_mixtures_are_refused(tmp_path, model, message):
    config = write(tmp_path, {**TINY_GAUSSIAN, "model": model})
    with pytest.raises(InputError, match=message):
        Run.from_file(config, tmp_path / "run")


@pytest.mark.parametrize(
    "model",
    [
        {"kind": "tests.plugged_models:Sevens"},
        {"kind": "population", "models": ["gaussian", {"kind": "tests.plugged_models:Sevens"}]},
        {"kind": "alternating", "models": ["gaussian", {"kind": "tests.plugged_models:Sevens"}]},
    ],
    ids=["alone", "population", "by turns"],
)
def test_models_of_other_packages_are_opened_as_what_they_are(tmp_path, model):
    config = write(
        tmp_path, {**TINY_GAUSSIAN, "start": "scratch", "model": model, "generations": 3}
    )
    finish(config, tmp_path / "run")
    sevens = [
        float((RunFolder(tmp_path / "run").samples(g).data == 7).float().mean()) for g in range(3)
    ]
    expected = {
        "tests.plugged_models:Sevens": [1, 1, 1],
        "population": [0.5, 0.5, 0.5],
        "alternating": [0, 1, 0],
    }
    assert sevens == pytest.approx(expected[model["kind"]], abs=0.02)
    assert [len(RunFolder(tmp_path / "run").samples(g)) for g in range(3)] == [30] * 3


def test_a_folder_alone_has_no_class_imported(tmp_path):
    import json

    (tmp_path / "class.json").write_text(json.dumps({"class": "os:system"}))
    with pytest.raises(InputError, match="which no config in this process has named"):
        model_folder.load_model(tmp_path)


def test_classes_are_for_all_models_or_for_none(tmp_path):
    diffusion = {**TINY_IMAGE["model"], "class_conditional": True}
    vae = {"kind": "vae", "hidden": [8], "latent": 2, "training": {"images": 64}}
    for kind in ("population", "alternating"):
        config = write(
            tmp_path, {**TINY_IMAGE, "model": {"kind": kind, "models": [diffusion, vae]}}
        )
        with pytest.raises(InputError, match="make all class-conditional, or none"):
            Run.from_file(config, tmp_path / "run")


def test_a_later_member_keeps_its_checkpoint_while_the_first_is_fitted_again():
    class Slow(GaussianModel):
        def fit(self, train, *, start, seed, resume=None):
            first = int(resume["step"]) if resume else 0
            for step in range(first, 10):
                state: Any = partial(dict, step=torch.tensor(step + 1))
                yield Progress("fit", step + 1, 10, None, state)
            return (yield from super().fit(train, start=start, seed=seed))

    population = Population([Slow(GaussianModelSettings()) for _ in range(2)], [0.5, 0.5])
    train = TrainingSet.of(
        Samples.real(torch.randn(20, 2, generator=torch.Generator().manual_seed(0)))
    )
    kept, sessions, done = None, 0, False
    while not done:
        sessions += 1
        assert sessions < 20, "it never ends"
        fitting = population.fit(train, start=None, seed=1, resume=kept)
        try:
            for _ in range(15):
                progress = next(fitting)
                kept = progress.state() if progress.state else kept
        except StopIteration:
            done = True
    assert sessions > 1
