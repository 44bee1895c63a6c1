"""Numbers that went wrong: a chain stops with advice or goes on, and what does not exist is null
with a reason.
"""

from __future__ import annotations

import json
import shutil
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from imglab.config.load import validate_config
from imglab.errors import Stopped
from imglab.images.vae import Vae
from imglab.running.build import build
from imglab.samples import Samples, TrainingSet
from imglab.solvable.gaussian.model import GaussianModel
from imglab.store.faults import find_faults
from imglab.store.layout import count_finished
from imglab.store.reading import read_metrics
from imglab.text.fitting import NextToken
from tests.plugged_models import Sevens
from tests.text_fixtures import finish, text_parts
from tests.tiny_chains import TINY_CHAIN, TINY_GAUSSIAN, TINY_IMAGE, write


class Endless(Sevens):
    """Draws numbers that are none: infinite ones, and what is left when they are subtracted."""

    def draw(self, indices, *, conditions, seed):
        for part in super().draw(indices, conditions=conditions, seed=seed):
            data = part.data.clone()
            data[::2], data[1::2] = float("inf"), float("nan")
            yield Samples.drawn(data)


class Largest(Sevens):
    """Draws the largest numbers that float32 holds, whose squares it does not hold."""

    def draw(self, indices, *, conditions, seed):
        for part in GaussianModel.draw(self, indices, conditions=conditions, seed=seed):
            yield Samples.drawn(part.data * 1e38)


def page_says(folder, *words):
    page = (folder / "report.html").read_text()
    return all(word in page for word in words)


def numbers(row):
    """Every number of a row of metrics, in tables too; JSON has no NaN, so all are finite."""
    return json.loads(json.dumps(row, allow_nan=False))


@pytest.mark.slow
@pytest.mark.parametrize("model", ["Sevens", "Endless", "Largest"])
def test_samples_that_are_all_alike_none_at_all_or_too_large(lab, tmp_path, model):
    where = "plugged_models" if model == "Sevens" else "running.test_numbers_gone_wrong"
    tree = {
        **TINY_GAUSSIAN,
        "regime": "accumulate",
        "model": {"kind": f"tests.{where}:{model}"},
        "start": "scratch",
    }
    code, _, err = lab("run", write(tmp_path, tree), "--out", "run")
    assert "Traceback" not in err
    if code == 0:
        rows = [numbers(row) for row in read_metrics(tmp_path / "run")]
        assert len(rows) == TINY_GAUSSIAN["generations"]
        undefined = {name for row in rows for name in row["reasons"]}
        assert all(row[name] is None for row in rows for name in row["reasons"] if name in row)
        if model == "Endless":
            assert undefined
            assert page_says(tmp_path / "run", "synthetic features hold NaN")
    else:
        assert code in (2, 3), err
        assert count_finished(tmp_path / "run") >= 1


def constant(tmp_path, value):
    path = tmp_path / "constant.npz"
    images, labels = np.full((60, 8, 8), value, np.uint8), np.arange(60) % 3
    parts: dict[str, Any] = {
        "train_images": images,
        "train_labels": labels,
        "test_images": images[:40],
        "test_labels": labels[:40],
    }
    np.savez(path, **parts)
    return {"kind": "npz", "path": str(path)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("value", "extractor"), [(0, "pixels"), (255, {"kind": "classifier", "images": 256})]
)
def test_constant_images(lab, tmp_path, value, extractor):
    modality = {"kind": "image", "source": constant(tmp_path, value), "extractor": extractor}
    code, _, err = lab("run", write(tmp_path, {**TINY_IMAGE, "modality": modality}), "--out", "run")
    assert (code, "Traceback" in err) == (0, False), err
    rows = [numbers(row) for row in read_metrics(tmp_path / "run")]
    assert len(rows) == TINY_IMAGE["generations"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tree", "change"),
    [
        (TINY_IMAGE, "model.precision=fp32"),
        (TINY_IMAGE, "model.precision=bf16"),
        (TINY_CHAIN, "shown=4"),
    ],
    ids=["fp32", "bf16", "text"],
)
def test_a_loss_that_overflows_stops_with_advice_and_spoils_nothing(lab, tmp_path, tree, change):
    config = write(tmp_path, tree)
    assert lab("run", config, "--out", "first", "--set", "generations=1", "--set", change)[0] == 0
    shutil.copytree(tmp_path / "first" / "generation_000" / "model", tmp_path / "base")
    for path in (tmp_path / "base").rglob("*.safetensors"):
        weights = load_file(path)
        save_file({name: weight * 1e30 for name, weight in weights.items()}, path, {"format": "pt"})
    more = ("--set", f"base={tmp_path}/base", "--set", change, "--set", "checkpoint_every=16")
    code, _, err = lab("run", config, "--out", "run", *more)
    assert (code, "Traceback" in err) == (3, False), err
    assert "Lower the learning rate" in err
    assert not list((tmp_path / "run").glob("generation_*/.checkpoint*")), (
        "no state after the last good one is kept"
    )
    assert list(find_faults(tmp_path / "run")) == []


def test_fewer_samples_than_features(lab, tmp_path):
    code, _, err = lab(
        "run", write(tmp_path, {**TINY_GAUSSIAN, "samples": 4, "generations": 2}), "--out", "few"
    )
    assert (code, "Traceback" in err) in ((0, False), (2, False)), err


@pytest.mark.slow
def test_fewer_images_than_features_have_an_error_bar(lab, tmp_path):
    modality = {**TINY_IMAGE["modality"], "extractor": "pixels"}
    code, _, err = lab("run", write(tmp_path, {**TINY_IMAGE, "modality": modality}), "--out", "run")
    assert code == 0, err
    first = numbers(read_metrics(tmp_path / "run")[0])
    assert first["fid"] is not None
    assert 0 < first["fid_se"] < first["fid"], "the jackknife needs no covariance of full rank"


def test_a_gradient_without_end_stops_before_the_step(monkeypatch):
    """The loss itself is finite still: the step after it would be the first to tell, with weights
    that are spoiled.
    """

    def steep(loss):
        return loss + (loss - loss.detach()).sqrt()

    text, forward = NextToken.loss, Vae.forward
    monkeypatch.setattr(NextToken, "loss", lambda *given: steep(text(*given)))
    monkeypatch.setattr(Vae, "forward", lambda *given: steep(forward(*given)))
    small = {"kind": "vae", "hidden": [8], "latent": 2, "training": {"images": 64, "batch": 32}}
    images = build(
        validate_config(
            {"name": "small", "modality": TINY_IMAGE["modality"], "model": small}, "test"
        ),
        "test",
    )
    for modality, model in (text_parts(), (images.modality, images.models[0])):
        with pytest.raises(Stopped, match="the gradient became"):
            finish(model.fit(TrainingSet.of(modality.real("train")), start=None, seed=1))
