"""Every modality that ships keeps the contracts; `check_modality` finds those that do not."""

from __future__ import annotations

import itertools
import json
import random
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from imglab import check_modality, regimes, seeds
from imglab.config import kinds
from imglab.config.load import validate_config
from imglab.config.section import spell_out
from imglab.errors import InputError
from imglab.groups import Groups
from imglab.loop import run_chain
from imglab.measures import Measures
from imglab.mixed.population import Population
from imglab.modality import Damage, Judge, Modality
from imglab.model import GenerativeModel
from imglab.progress import Progress
from imglab.running.build import build_modality, build_models
from imglab.samples import Samples
from tests.solvable.test_papers_models import KINDS as PAPERS_MODELS
from tests.test_loop import Adder, Counter
from tests.text_fixtures import TINY_MODEL, TINY_TEXT

QUICK = {
    "training": {"images": 64, "batch": 32},
    "fine_tuning": {"images": 32, "batch": 32},
    "steps": 2,
}
DIGITS = {
    "kind": "image",
    "n_train": 60,
    "n_test": 20,
    "n_fresh": 10,
    "extractor": {"kind": "classifier", "images": 256},
}
QUICK_VAE = {
    "kind": "vae",
    "hidden": [16],
    "latent": 4,
    "training": {"images": 256},
    "fine_tuning": {"images": 64},
}
QUICK_UNET = {"kind": "diffusion", "channels": [8], **QUICK}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "image, autoencoder": (DIGITS, QUICK_VAE),
    "image, autoencoder, marked": (
        DIGITS,
        {**QUICK_VAE, "watermark": {"strength": 8.0}, "sampling_bias": 0.5},
    ),
    "image, population": (
        DIGITS,
        {"kind": "population", "models": [QUICK_UNET, QUICK_VAE], "shares": [0.3, 0.7]},
    ),
    "gaussian, by turns": (
        {"kind": "gaussian", "n_train": 80},
        {"kind": "alternating", "models": ["gaussian", {"kind": "kde", "bandwidth": 0.2}]},
    ),
    "text, marked": (TINY_TEXT, {"kind": "ngram", "order": 2, "watermark": {"strength": 3.0}}),
    "text, language model": (TINY_TEXT, TINY_MODEL),
    "text, language model, warped, bf16": (
        {**TINY_TEXT, "prompts": "original"},
        {
            **TINY_MODEL,
            "decoding": {"kind": "sampling", "temperature": 0.8, "top_k": 50, "top_p": 0.9},
            "precision": "bf16",
        },
    ),
    "text, n-grams": (TINY_TEXT, {"kind": "ngram", "order": 2}),
    "gaussian": ({"kind": "gaussian", "n_train": 80}, {"kind": "gaussian"}),
    "gaussian, blurred": ({"kind": "gaussian", "n_train": 80}, {"kind": "kde", "bandwidth": 0.2}),
    "gaussian, mixture": (
        {"kind": "gaussian", "n_train": 80, "components": 3},
        {"kind": "mixture", "components": 3},
    ),
    "categories": ({"kind": "categories", "categories": 30}, {"kind": "categories"}),
    "image, unconditional": (DIGITS, {"kind": "diffusion", "channels": [8, 8], **QUICK}),
    "image, conditional, guided": (
        DIGITS,
        {
            "kind": "diffusion",
            "channels": [8],
            **QUICK,
            "class_conditional": True,
            "sampling_bias": 0.5,
        },
    ),
    "image, ddpm sampler, bf16": (
        {**DIGITS, "extractor": "pixels"},
        {
            "kind": "diffusion",
            "channels": [8],
            **QUICK,
            "sampler": "ddpm",
            "precision": "bf16",
            "prediction": "epsilon",
        },
    ),
    "image, ddim sampler, attention": (
        {**DIGITS, "colour": "rgb", "size": 12},
        {"kind": "diffusion", "channels": [8, 16], **QUICK, "sampler": "ddim", "attention": True},
    ),
}


SLOW = (
    "image, ddpm sampler, bf16",
    "image, ddim sampler, attention",
    "text, language model, warped, bf16",
)


@pytest.mark.parametrize(
    "case", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in CASES]
)
def test_what_ships_keeps_the_contracts(case):
    modality_section, model_section = CASES[case]
    config = validate_config(
        {"name": "check", "modality": modality_section, "model": model_section}, "test"
    )
    modality = build_modality(config)
    for model in build_models(config, modality):
        check_modality(modality, model)


def test_every_kind_that_ships_is_checked():
    cases = [*CASES.values(), *PAPERS_MODELS.values()]
    checked = {spell_out(section)["kind"] for sections in cases for section in sections}
    by_their_own_tests = {"pipeline"}  # images/test_pipelines.py: they start from a folder
    assert checked == {*kinds.MODALITIES, *kinds.MODELS} - by_their_own_tests


class Drawn(Counter):
    def render(self, shown, path):
        path.write_text(str(shown[-1].data.flatten().tolist()))


def test_a_right_modality_of_a_third_party_passes():
    check_modality(Drawn(), Adder())


STREAM = itertools.count()


class Restarting(Drawn):
    """Its stream of fresh data begins anew with each call."""

    def fresh(self, n, *, first, seed):
        return Samples.real(torch.arange(float(n))[:, None])

    def fresh_available(self):
        return None


class Boundless(Drawn):
    """It gives more fresh data than it says there are."""

    def fresh(self, n, *, first, seed):
        return Samples.real(torch.arange(float(first), float(first + n))[:, None])

    def fresh_available(self):
        return 5


class Overconfident(Drawn):
    def confidence(self, samples):
        return torch.full((len(samples),), 2.0)


class Lost(Drawn):
    def export(self, samples, folder):
        return [f"{row}.txt" for row in range(len(samples))]


class Grouping(Drawn):
    """Its groups have numbers that no name has."""

    def groups(self, split):
        return Groups(("one",), torch.ones(len(self.real(split)), dtype=torch.int64))


class Amnesiac(Adder):
    """It offers a checkpoint, and begins from scratch where it is given one."""

    def fit(self, train, *, start, seed, resume=None):
        before = 0 if resume is None else int(resume["value"])
        yield Progress("fit", 1, 2, state=lambda: {"value": torch.tensor(3)})
        yield Progress("fit", 2, 2)
        return Amnesiac(before + 1)


class Halting(Adder):
    """It goes on from its first checkpoint, and begins again where it is given a later one."""

    def fit(self, train, *, start, seed, resume=None):
        done = 0
        if resume is not None:
            done = int(resume["done"]) % 2
        before = 0 if start is None else start.value
        for step in range(done + 1, 5):
            state = {"done": torch.tensor(step)}
            yield Progress("fit", step, 4, state=partial(dict, state))
        return self.after(before + 4, resume)

    def after(self, value, resume):
        restarted = resume is not None and int(resume["done"]) >= 2
        return Halting(value + restarted)


class Losing(Halting):
    """It goes on from every checkpoint, but forgets the model that it started from."""

    def fit(self, train, *, start, seed, resume=None):
        if resume is not None:
            start = None
        return super().fit(train, start=start, seed=seed, resume=None)

    def after(self, value, resume):
        return Losing(value)


class Borrowing(Adder):
    """It changes the model whose weights it starts from."""

    def fit(self, train, *, start, seed, resume=None):
        yield Progress("fit", 1, 1)
        if start is None:
            return Borrowing(1)
        start.value += 1
        return Borrowing(start.value)


class Relative(Drawn):
    """Its features are relative to the mean of the batch."""

    def features(self, samples):
        data = samples.data.float()
        return data - data.mean(0)


class Plain(Drawn):
    """Its metrics are a plain dict."""

    def sample_metrics(self, samples):
        return {"mean": 0.5}


class Damaged(Drawn):
    """It damages samples as `apply` says."""

    def __init__(self, apply):
        super().__init__()
        self.apply = apply

    def damages(self):
        return [Damage("shift", "adds a number", self.apply)]


def shifted(pool, n, *, strength, seed):
    rows = torch.randint(len(pool), (n,), generator=seeds.generator(seed))
    return Samples.real(pool[rows].data + strength)


def short(pool, n, *, strength, seed):
    return shifted(pool, n - 1, strength=strength, seed=seed)


def unseeded(pool, n, *, strength, seed):
    return shifted(pool, n, strength=strength, seed=next(STREAM))


def in_place(pool, n, *, strength, seed):
    pool.data.add_(strength)
    return shifted(pool, n, strength=strength, seed=seed)


class Matching(Drawn):
    def matched(self, samples, real):
        return Samples(samples.data.double(), None, samples.origin, samples.source)

    def variance(self, samples):
        return float(samples.data.var())


class Unlikely(Adder):
    def log_density(self, samples):
        return torch.zeros(1)


class WrongFeatures(Counter):
    def features(self, samples):
        return samples.data.double()


class Forgetful(Counter):
    def render(self, shown, path):
        path.write_text(str(next(STREAM)))


class Silent(Adder):
    def fit(self, train, *, start, seed, resume=None):
        yield Progress("fit", 1, 1)


class Restless(Adder):
    def draw(self, indices, *, conditions, seed):
        return super().draw(range(len(indices)), conditions=conditions, seed=seed)


class Careless(Adder):
    def fit(self, train, *, start, seed, resume=None):
        torch.rand(1)
        yield Progress("fit", 1, 1)
        return Adder(1)


@pytest.mark.parametrize(
    ("modality", "model", "message"),
    [
        (WrongFeatures(), Adder(), "features must be float32"),
        (Counter(), Silent(), "fit must return the new model"),
        (Counter(), Restless(), "must depend on \\(seed, i\\) alone"),
        (Counter(), Adder(), "render must write the file"),
        (Forgetful(), Adder(), "render must give the same bytes"),
        (Restarting(), Adder(), "must continue the stream"),
        (Boundless(), Adder(), r"beyond fresh_available\(\) must raise ValueError"),
        (Overconfident(), Adder(), r"confidence must lie in \[0, 1\]"),
        (Lost(), Adder(), "export named files that it did not write"),
        (Drawn(), Amnesiac(), "resumed from its checkpoint after 1 samples"),
        (Drawn(), Halting(), "a fit that is resumed from its checkpoint after 2 samples"),
        (Drawn(), Losing(), r"a fit with start= that is resumed from its checkpoint"),
        (Drawn(), Borrowing(), "changed the model whose weights it starts from"),
        (Relative(), Adder(), "must not depend on the others of its batch"),
        (Damaged(short), Adder(), "damage 'shift' returned 11 samples, not 12"),
        (Damaged(unseeded), Adder(), "'shift' must give the same bytes for the same seed"),
        (Damaged(in_place), Adder(), "'shift' changed the samples that it was given"),
        (Plain(), Adder(), r"Plain: metrics must be `imglab.Measures`, not dict \(return"),
        (Matching(), Adder(), "matched must keep the shape and the dtype"),
        (Grouping(), Adder(), "groups must count 1 names, from 0 on"),
        (Drawn(), Unlikely(), "log_density must return one number for each sample"),
    ],
)
def test_broken_promises_are_named(modality, model, message):
    with pytest.raises(AssertionError, match=message):
        check_modality(modality, model)


class CarelessModality(Drawn):
    """It offers what it can, and moves a global generator in the method `careless`."""

    careless = ""

    def _touch(self, name):
        if name == self.careless:
            random.random()

    def conditions(self, train, n, *, seed):
        self._touch("conditions")
        return None

    def read(self, samples):
        self._touch("read")

    def export(self, samples, folder):
        self._touch("export")
        names = [f"{row}.txt" for row in range(len(samples))]
        for name in names:
            (folder / name).write_text("")
        return names


class CarelessModel(Adder):
    """The same of a model."""

    careless = ""

    def fit(self, train, *, start, seed, resume=None):
        yield Progress("fit", 1, 1)
        if start is not None and self.careless == "fit with start=":
            np.random.rand()  # noqa: NPY002
        return type(self)(1)

    def save(self, path):
        self._touch("save")
        super().save(path)

    @classmethod
    def load(cls, path):
        cls._touch("load")
        return super().load(path)

    def choices(self, train, *, fits):
        self._touch("choices")
        return {}

    @classmethod
    def _touch(cls, name):
        if name == cls.careless:
            torch.rand(1)


@pytest.mark.parametrize("name", ["", "conditions", "read", "export"])
def test_the_call_of_a_modality_that_moves_a_global_generator_is_named(monkeypatch, name):
    monkeypatch.setattr(CarelessModality, "careless", name)
    if not name:
        check_modality(CarelessModality(), Adder())
        return
    with pytest.raises(AssertionError, match=f"{name} moved the global random state of random"):
        check_modality(CarelessModality(), Adder())


@pytest.mark.parametrize(
    ("name", "generator"),
    [("save", "torch"), ("load", "torch"), ("choices", "torch"), ("fit with start=", "numpy")],
)
def test_the_call_of_a_model_that_moves_a_global_generator_is_named(monkeypatch, name, generator):
    monkeypatch.setattr(CarelessModel, "careless", name)
    with pytest.raises(AssertionError, match=f"{name} moved the global .* of {generator}"):
        check_modality(Drawn(), CarelessModel())


def test_moving_the_global_random_state_is_found():
    with pytest.raises(AssertionError, match="fit moved the global random state of torch"):
        check_modality(Drawn(), Careless())


def test_damages_that_keep_their_promises_pass():
    check_modality(Damaged(shifted), Adder())


class Die(Modality):
    """Three methods make a kind of data with its model: `real` here, `fit` and `draw` below."""

    def real(self, split):
        return Samples.real(torch.arange(24.0 if split == "train" else 12.0)[:, None] % 6)


class Faces(GenerativeModel):
    def __init__(self, *, shares=None, scale=1.0):
        self.shares = shares
        self._scale = scale

    def fit(self, train, *, start, seed, resume=None):
        yield Progress("fit", len(train), len(train))
        counts = torch.bincount(train.all().data[:, 0].long(), minlength=6)
        return Faces(shares=counts / counts.sum(), scale=2.0)

    def draw(self, indices, *, conditions, seed):
        faces = seeds.invert(self.shares, seeds.uniform(indices, seed=seed))
        yield Samples.drawn(faces[:, None].float())


def test_three_methods_are_enough(tmp_path):
    check_modality(Die(), Faces())

    chain = run_chain(Die(), Faces(), regimes.replace, generations=3, samples=20)
    assert [generation.metrics["extractor"] for generation in chain] == ["data"] * 3

    Die().render([Samples.drawn(torch.tensor([[0.0], [5.0]]))], tmp_path / "grid.png")
    assert np.asarray(Image.open(tmp_path / "grid.png")).flatten().tolist() == [0, 255]


def test_what_the_constructor_takes_is_saved(tmp_path):
    Faces(shares=torch.tensor([0.5, 0.5]), scale=3.0).save(tmp_path / "model")
    assert json.loads((tmp_path / "model" / "imglab.json").read_text()) == {"scale": 3.0}

    loaded = Faces.load(tmp_path / "model")
    assert loaded.shares.tolist() == [0.5, 0.5]
    assert loaded._scale == 3.0


def test_an_argument_that_is_not_kept_is_named(tmp_path):
    class Forgets(Faces):
        def __init__(self, *, shares=None, steps=1):
            super().__init__(shares=shares)

    with pytest.raises(TypeError, match="Forgets keeps its constructor's argument `steps` neither"):
        Forgets().save(tmp_path / "model")


class Needy(Faces):
    def __init__(self, modality, *, shares=None):
        super().__init__(shares=shares)


class Unnamed(Faces):
    def __init__(self, shares=None, /):
        super().__init__(shares=shares)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Needy(None), "Needy: its constructor's argument `modality` has no default"),
        (Unnamed(), "Unnamed: its constructor's argument `shares` cannot be given by name"),
    ],
)
def test_a_constructor_that_cannot_be_repeated_is_named_when_it_is_saved(tmp_path, model, message):
    with pytest.raises(InputError, match=message):
        model.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_constructor_that_cannot_be_repeated_is_named_before_a_run():
    config = validate_config(
        {"name": "x", "modality": {"kind": "gaussian"}, "model": f"{__name__}:Needy"}, "test"
    )
    with pytest.raises(InputError, match=r"write `modality=None`, and keep what the model takes"):
        build_models(config, build_modality(config))


def test_a_model_that_opens_in_its_own_way_may_need_a_modality(tmp_path):
    class Restored(Needy):
        @classmethod
        def restore(cls, description, path):
            return cls(None, shares=torch.ones(6) / 6)

    Restored(None, shares=torch.ones(6)).save(tmp_path / "model")
    assert Restored.load(tmp_path / "model").shares.sum() == 1


def test_contracts_of_the_first_version_are_still_called():
    """Version 0.1 said `first` for generation 0's model, and models said `measures`."""

    class Old(Drawn):
        def metrics(self, samples, *, model, first, seed):  # type: ignore[override]
            return Measures({"of_first": first.value})

    class OldAdder(Adder):
        def measures(self, samples, *, first, seed):
            return Measures({"ahead_of_first": self.value - first.value})

    check_modality(Old(), OldAdder())
    *_, last = run_chain(Old(), OldAdder(), regimes.replace, generations=3)
    assert (last.metrics["of_first"], last.metrics["ahead_of_first"]) == (1, 2)

    # A population asks its members in the same way.
    population = Population([OldAdder(5), OldAdder(7)], [0.5, 0.5])
    drawn = population.sample(6, seed=1)
    measured = population.metrics(drawn, generation0=OldAdder(1), seed=1).values
    assert measured["ahead_of_first_by_source"] == {"0": 4, "1": 6}


def test_a_modality_that_names_its_abilities_has_no_others():
    """Version 0.1 asked a property `abilities`, which may leave out methods that the class has."""

    class Unlabelled(Overconfident):
        abilities = frozenset({"export"})

    class Labelled(Overconfident):
        abilities = frozenset({"confidence"})

    assert Unlabelled().ability(Judge) is None
    assert Labelled().ability(Judge) is not None
