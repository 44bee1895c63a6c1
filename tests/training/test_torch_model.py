"""A model that is a torch network, a loss and a sampler: all else comes with `TorchModel`."""

from __future__ import annotations

import math
import re
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from imglab import Modality, Recipe, Run, Samples, TorchModel, check_modality, load_model, seeds
from imglab.config.load import validate_config
from imglab.errors import InputError, Stopped
from imglab.samples import TrainingSet
from imglab.store.model_folder import know_model, save_model
from imglab.training.devices import device
from imglab.training.trainer import Trainer
from tests.conftest import ROOT
from tests.text_fixtures import finish
from tests.training.point_diffusion import PointDiffusion

LISTING = ROOT / "tests/training/point_diffusion.py"
QUICK = Recipe(examples=512, batch=64, ema=0.9)


class Ring(Modality):
    """Points on the unit circle."""

    def real(self, split):
        angle = torch.rand(500, generator=seeds.generator("ring", split)) * 2 * math.pi
        return Samples.real(torch.stack([angle.cos(), angle.sin()], 1))


class Halves(Ring):
    """The same points with a class: in the right half or in the left one."""

    def real(self, split):
        points = super().real(split).data
        return Samples.real(points, (points[:, 0] < 0).long())


class Shift(TorchModel):
    """Learns where the points of each class lie, in bf16 and without an average."""

    recipe = Recipe(examples=300, batch=50, bf16=True)
    fine_tuning = Recipe(epochs=0.5, batch=50, decay="none")
    sampling_batch = 5
    noise_shape = (3, 2)
    conditional = True

    def new_network(self, shape):
        return nn.Sequential(nn.Embedding(2, 4), nn.Dropout(0.1), nn.Linear(4, *shape))

    def loss(self, network, batch, noise):
        assert set(noise) == {"noise"}
        return (network(batch.condition) - batch.data + 0.1 * noise["noise"]).square().mean()

    def sample_batch(self, network, noise, conditions):
        return network(conditions) + noise.mean(1)


@pytest.fixture(scope="module")
def train():
    return TrainingSet.of(Ring().real("train"))


@pytest.fixture(scope="module")
def fitted(train):
    return finish(quick().fit(train, start=None, seed=1))


def quick(**settings):
    model = PointDiffusion(**settings)
    model.recipe = QUICK
    return model


class TestExample:
    def test_a_whole_diffusion_model_is_short(self):
        assert len(LISTING.read_text().splitlines()) <= 45

    def test_the_document_shows_the_tested_code(self):
        page = (ROOT / "docs/extend/model.md").read_text()
        listing, check = re.findall(r"```python\n(.*?)```", page, re.S)
        assert listing == LISTING.read_text()
        assert "check_modality" in check

    def test_the_document_works_as_printed(self, tmp_path, monkeypatch):
        page = (ROOT / "docs/extend/model.md").read_text()
        listing, check = re.findall(r"```python\n(.*?)```", page, re.S)
        (tmp_path / "point_diffusion.py").write_text(listing)
        monkeypatch.syspath_prepend(tmp_path)
        assert "check_modality" in check  # which asserts
        exec(check, {"__name__": "check"})
        sys.modules.pop("point_diffusion")

    def test_it_learns_the_circle(self, train):
        model = PointDiffusion()
        model.recipe = replace(model.recipe, examples=64_000)
        points = finish(model.fit(train, start=None, seed=1)).sample(500, seed=3).data
        noise = seeds.normal((2,), range(500), seed=3)
        off, off_at_first = ((each.norm(dim=1) - 1).abs().mean() for each in (points, noise))
        assert off < 0.6 * off_at_first

    @pytest.mark.slow
    def test_it_runs_from_a_config(self, tmp_path):
        tree = {
            "name": "points",
            "generations": 2,
            "samples": 40,
            "shown": 4,
            "modality": {"kind": "gaussian", "dimensions": 2, "n_train": 60, "n_test": 60},
            "model": {
                "kind": "tests.training.point_diffusion:PointDiffusion",
                "width": 8,
                "steps": 2,
            },
        }
        run = Run(validate_config(tree, "test"), tmp_path / "run")
        rows = [generation.metrics for generation in run.generations()]
        assert [row["training"]["budget"] for row in rows] == ["samples", "samples"]
        assert load_model(tmp_path / "run/generation_001/model").width == 8


class TestContract:
    def test_is_kept(self):
        check_modality(Ring(), quick())

    def test_is_kept_with_classes_and_in_mixed_precision(self):
        check_modality(Halves(), Shift())

    def test_starts_only_from_the_same_layers(self, fitted):
        assert quick().check_start(fitted) is fitted
        with pytest.raises(ValueError, match=r"architecture differs: 0.weight .* \[64, 3\], exp"):
            quick(width=32).check_start(fitted)
        with pytest.raises(ValueError, match="a PointDiffusion cannot start from a Shift"):
            quick().check_start(Shift())

    def test_an_unfitted_one_says_so(self):
        with pytest.raises(ValueError, match="has not been fitted"):
            quick().sample(1, seed=1)

    def test_the_average_is_what_is_fitted(self, train, monkeypatch):
        last = []
        finish_trainer = Trainer.finish

        def remember(trainer):
            last.append([weight.detach().clone() for weight in trainer._weights.values()])
            return finish_trainer(trainer)

        monkeypatch.setattr(Trainer, "finish", remember)
        averaged = finish(quick().fit(train, start=None, seed=1))
        plain = quick()
        plain.recipe = replace(QUICK, ema=None)
        plain = finish(plain.fit(train, start=None, seed=1))
        assert all(map(torch.equal, last[0], last[1])), "the average changes no step"
        assert all(map(torch.equal, last[1], plain.network.parameters()))
        assert not any(map(torch.equal, last[0], averaged.network.parameters()))

    def test_where_memory_runs_out_the_step_is_the_same(self, train, fitted):
        class Little(PointDiffusion):
            def loss(self, network, batch, noise):
                if len(batch) > 20:
                    raise torch.OutOfMemoryError("CUDA out of memory.")
                return super().loss(network, batch, noise)

        model = Little()
        model.recipe = QUICK
        parts = finish(model.fit(train, start=None, seed=1))
        pairs = zip(fitted.network.parameters(), parts.network.parameters(), strict=True)
        assert all(torch.allclose(one, two, atol=1e-5) for one, two in pairs)

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (lambda loss: loss * math.inf, "the gradient became"),
            (lambda loss: loss + math.inf, "the loss became inf after 0 samples"),
        ],
    )
    def test_what_is_not_finite_stops_the_fit_before_a_step(self, spoil, message, train):
        class Spoiled(PointDiffusion):
            def loss(self, network, batch, noise):
                return spoil(super().loss(network, batch, noise))

        with pytest.raises(Stopped, match=message):
            next(Spoiled().fit(train, start=None, seed=1))


class TestFolder:
    def test_draws_the_same_after_loading(self, fitted, tmp_path):
        fitted.save(tmp_path / "model")
        loaded = PointDiffusion.load(tmp_path / "model")
        assert torch.equal(loaded.sample(5, seed=2).data, fitted.sample(5, seed=2).data)
        assert next(loaded.network.parameters()).device.type == device().type

    @pytest.mark.parametrize(
        ("file", "content"),
        [
            ("imglab.json", b"{}"),
            ("imglab.json", b'{"settings": 3, "shape": [2], "training": {}}'),
            ("imglab.json", b'{"settings": {"depth": 3}, "shape": [2], "training": {}}'),
            ("imglab.json", b'{"settings": {}, "shape": ["x"], "training": {}}'),
            ("imglab.json", b'{"settings": {}, "shape": [3], "training": {}}'),
            ("model.safetensors", b"nothing"),
            ("model.safetensors", None),
        ],
    )
    def test_a_damaged_one_is_named(self, file, content, fitted, tmp_path):
        save_model(fitted, tmp_path / "model")
        know_model(fitted)
        (tmp_path / "model" / file).unlink()
        if content is not None:
            (tmp_path / "model" / file).write_bytes(content)
        for load in (PointDiffusion.load, load_model):
            with pytest.raises(InputError) as refused:
                load(tmp_path / "model")
            (problem,) = refused.value.problems
            assert str(tmp_path / "model") in problem.where


class Centred(Shift):
    """It is told the middle of the points."""

    def __init__(self, *, middle=None):
        self._middle = middle


def test_tensors_that_the_constructor_takes_are_saved(tmp_path):
    train = TrainingSet.of(Halves().real("train"))
    middle = torch.tensor([0.25, 0.5])
    fitted = finish(Centred(middle=middle).fit(train, start=None, seed=1))
    fitted.save(tmp_path / "model")
    loaded = Centred.load(tmp_path / "model")
    assert loaded._middle.equal(middle)
    assert loaded.weights().keys() == fitted.weights().keys() > loaded.network.state_dict().keys()

    # None is a JSON value, and lies with the other settings.
    plain = finish(Centred().fit(train, start=None, seed=1))
    plain.save(tmp_path / "plain")
    assert Centred.load(tmp_path / "plain")._middle is None
    assert '"tensors"' not in (tmp_path / "plain/imglab.json").read_text()

    description = (tmp_path / "model/imglab.json").read_text()
    (tmp_path / "plain/imglab.json").write_text(description)
    with pytest.raises(InputError, match="lacks the tensor 'middle'"):
        Centred.load(tmp_path / "plain")
