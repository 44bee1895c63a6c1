"""Opening `model/` folders: damage is named, a mistake in the code stays what it is."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml

from imglab import load_model
from imglab.config.load import validate_config
from imglab.errors import InputError
from imglab.model import GenerativeModel
from imglab.running.build import build
from imglab.samples import TrainingSet
from tests.conftest import ROOT
from tests.plugged_models import Mistaken
from tests.text_fixtures import finish, text_parts
from tests.tiny_chains import TINY_GAUSSIAN, TINY_IMAGE

PIXELS = {**TINY_IMAGE["modality"], "extractor": "pixels"}
COUNTS = {"kind": "categories", "categories": 20, "n_train": 60, "n_test": 60}
VAE = {"kind": "vae", "hidden": [8], "latent": 2, "training": {"images": 64, "batch": 32}}
PARTS: dict[str, tuple] = {
    "gaussian": (TINY_GAUSSIAN["modality"], {"kind": "gaussian"}),
    "categories": (COUNTS, {"kind": "categories"}),
    "vae": (PIXELS, VAE),
    "diffusion": (PIXELS, TINY_IMAGE["model"]),
}
CHANGES = [
    ("settings", None),
    ("settings", 3),
    ("settings", {"no_such_key": 1}),
    ("kind", "os:system"),
]


def parts(kind):
    if kind == "ngram":
        return text_parts(model={"kind": "ngram", "order": 2})
    modality, model = PARTS[kind]
    config = validate_config({"name": "x", "modality": modality, "model": model}, "test")
    experiment = build(config, "test")
    return experiment.modality, experiment.models[0]


def damage(folder, key, value):
    path = folder / "imglab.json"
    description = json.loads(path.read_text())
    if value is None:
        del description[key]
    else:
        description[key] = value
    path.write_text(json.dumps(description))


@pytest.fixture(scope="module", params=[*PARTS, "ngram"])
def saved(request, tmp_path_factory):
    """A fitted model's class and its folder."""
    modality, model = parts(request.param)
    fitted = finish(model.fit(TrainingSet.of(modality.real("train")), start=None, seed=1))
    folder = tmp_path_factory.mktemp(request.param) / "model"
    fitted.save(folder)
    return type(fitted), folder


@pytest.mark.parametrize(("key", "value"), CHANGES)
def test_a_damaged_description_is_named(key, value, saved, tmp_path):
    kind, folder = saved
    described = (folder / "imglab.json").read_text()
    damage(folder, key, value)
    try:
        for load in (kind.load, load_model):
            if key == "kind" and load is not load_model:
                continue  # who opens a class has chosen the kind
            with pytest.raises(InputError) as refused:
                load(folder)
            (problem,) = refused.value.problems
            assert problem.where.startswith(str(folder))
            assert problem.what
    finally:
        (folder / "imglab.json").write_text(described)


def test_a_folder_without_weights_is_named(saved, tmp_path):
    kind, folder = saved
    weights = next(folder.rglob("*.safetensors"))
    aside = weights.rename(tmp_path / "aside")
    try:
        for load in (kind.load, load_model):
            with pytest.raises(InputError) as refused:
                load(folder)
            assert str(folder) in str(refused.value)
    finally:
        aside.rename(weights)


@pytest.mark.slow
def test_a_mistake_in_the_code_is_no_damage(tmp_path):
    modality, model = parts("gaussian")
    finish(model.fit(TrainingSet.of(modality.real("train")), start=None, seed=1)).save(
        tmp_path / "model"
    )
    with pytest.raises(AttributeError, match="no_such_method"):
        Mistaken.load(tmp_path / "model")

    tree = {
        **TINY_GAUSSIAN,
        "name": "mistaken",
        "model": {"kind": "tests.plugged_models:Mistaken"},
        "start": "base",
        "base": str(tmp_path / "model"),
    }
    (tmp_path / "mistaken.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(tree))))
    command = [sys.executable, "-m", "imglab", "run", "mistaken.yaml"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "no_such_method" in done.stderr


def test_a_class_that_keeps_an_argument_otherwise_says_so(tmp_path):
    class Hidden(GenerativeModel):
        def __init__(self, *, width=3):
            self.wide = width

        def fit(self, train, *, start, seed, resume=None):
            raise NotImplementedError

        def draw(self, indices, *, conditions, seed):
            raise NotImplementedError

    with pytest.raises(TypeError, match="Hidden keeps its constructor's argument `width` neither"):
        Hidden().save(tmp_path / "model")
