"""Runs as Python uses them: `imglab.run`, `imglab.open`, `imglab.runs`, and the public names."""

from __future__ import annotations

import ast
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import imglab
from imglab.config.kinds import MODALITIES, MODELS, REMEDIES
from imglab.config.presets import find_config
from imglab.config.yaml import read_yaml
from imglab.store import locks
from tests.conftest import ROOT

GAUSSIAN = {"modality": {"kind": "gaussian", "n_train": 20, "n_test": 20}, "model": "gaussian"}
EXAMPLES = (
    "run_image_chain",
    "run_text_chain",
    "run_side_by_side",
    "compare_regimes",
    "show_grid",
)
"""Scripts that show how the lab is used from Python."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two runs, one in a folder of its own."""
    root: Path = tmp_path_factory.mktemp("runs")
    keys = {"generations": 2, "pictures": "each"}
    imglab.run(GAUSSIAN, keys, out=root / "first", show=False)
    changes = {"modality.n_train": 30, "regime": "accumulate"}
    imglab.run(GAUSSIAN, changes, out=root / "more" / "second", show=False, generations=1)
    return root


def test_a_run_is_opened_as_a_table(folder):
    run = imglab.open(folder / "first")
    assert (run.name, run.status, len(run)) == ("run", "finished", 2)
    assert run.config["generations"] == 2

    frame = run.frame()
    assert frame.index.tolist() == [0, 1]
    assert frame["fid"].tolist() == [run.metrics(g)["fid"] for g in (0, 1)]
    assert frame["n_train"].tolist() == [20, 20]
    assert frame.attrs["floor"]["fid"] == run.metrics(0)["floor"]["fid"]
    undefined = [name for name in run.metrics(0)["reasons"] if name in frame]
    assert all(math.isnan(frame[name][0]) for name in undefined)


def test_samples_models_and_grids_are_those_of_the_run(folder):
    run = imglab.open(str(folder / "first"))
    assert run.samples(1).data.shape == (20, 2)
    drawn = run.model(1).sample(3, seed=0).data
    assert torch.equal(drawn, run.model(1).sample(3, seed=0).data)
    assert run.grid(0).size[0] > 100
    with pytest.raises(imglab.InputError, match="no finished generation 2"):
        run.grid(2)
    with pytest.raises(imglab.InputError, match="pictures: each"):
        imglab.open(folder / "more" / "second").grid(0)


@pytest.mark.parametrize("g", [2, -1])
@pytest.mark.parametrize("ask", ["samples", "model", "metrics", "features", "accepted", "grid"])
def test_a_generation_that_is_not_finished_is_refused(folder, ask, g):
    run = imglab.open(folder / "first")
    with pytest.raises(
        imglab.InputError, match=r"generation -?\d \(generations 0 to 1 are finished"
    ):
        getattr(run, ask)(g)


def test_a_stage_without_samples_is_refused(folder):
    run = imglab.open(folder / "first")
    with pytest.raises(
        imglab.InputError, match=r"'nostage': holds no samples \(one of: evaluation, "
    ):
        run.samples(0, "nostage")
    with pytest.raises(imglab.InputError, match="did you mean 'samples'"):
        run.samples(0, "sample")
    with pytest.raises(imglab.InputError, match="has no evaluation samples"):
        run.samples(0, "evaluation")
    assert run.accepted(0) is None


def test_a_draw_that_is_not_scored_has_features_for_curation_alone(tmp_path):
    apart = {"measure.samples": 15, "generations": 1}
    run = imglab.run(GAUSSIAN, apart, out=tmp_path / "apart", show=False)
    assert (len(run.samples(0)), len(run.samples(0, "evaluation"))) == (20, 15)
    assert run.metrics(0)["n_synthetic"] == 15
    with pytest.raises(imglab.InputError, match="generation 0 has no features"):
        run.features(0)

    curated = {**apart, "curate": {"kind": "random", "keep": 0.5}}
    run = imglab.run(GAUSSIAN, curated, out=tmp_path / "curated", show=False)
    assert len(run.features(0)) == len(run.samples(0)) == 40
    assert run.metrics(0)["n_synthetic"] == 15


@pytest.mark.parametrize("config", [5, None, ["digits"]])
def test_what_is_no_config_is_refused(config):
    with pytest.raises(imglab.InputError, match=r"is not a config \(give the name of a preset"):
        imglab.run(config)


def test_all_runs_of_a_folder_are_one_table(folder):
    runs = imglab.runs(folder)
    assert [run.root.name for run in runs] == ["first", "second"]
    frame = runs.frame()
    assert frame.index.tolist() == [("first", 0), ("first", 1), ("more/second", 0)]
    assert frame["n_train"].tolist() == [20, 20, 30]
    assert runs[1:].frame().index.tolist() == [("more/second", 0)]
    with pytest.raises(imglab.InputError, match=r"use imglab\.runs"):
        imglab.open(folder)
    with pytest.raises(imglab.InputError, match="no such folder"):
        imglab.runs(folder / "nothing")


def test_a_run_says_whether_it_is_being_made(folder):
    run = imglab.open(folder / "first")
    with locks.held(run.root / locks.RUN, imglab.Problem("run", "is busy")):
        status = run.status
    assert (status, run.status) == ("running", "finished")


def test_a_run_from_a_dictionary_is_that_from_the_file(tmp_path):
    preset = imglab.Run.from_file("smoke/gaussian", tmp_path / "a", {"modality.n_train": 70})
    tree = read_yaml(find_config(Path("smoke/gaussian")))
    same = imglab.Run.from_dict(tree, tmp_path / "b", ["modality.n_train=70"])
    assert preset.experiment.config == same.experiment.config
    assert same.experiment.config.model_dump()["modality"]["n_train"] == 70


def test_what_is_wrong_with_a_dictionary_is_told_at_once():
    with pytest.raises(imglab.InputError) as error:
        imglab.run({**GAUSSIAN, "modell": 1}, {"modality.n_trian": 3}, regime="accumulat")
    for text in ("did you mean 'model'", "did you mean 'n_train'", "did you mean 'accumulate'"):
        assert text in str(error.value)
    with pytest.raises(imglab.InputError, match="did you mean 'digits'"):
        imglab.run("digit")
    with pytest.raises(imglab.InputError, match=r"imglab\.SideBySide"):
        imglab.Run.from_file("side_by_side")


def test_ones_own_values_stand_above_a_profile():
    profiles = {"small": {"generations": 2, "seed": 3}}
    tree = {**GAUSSIAN, "profiles": profiles}
    config = imglab.Run.from_dict(tree, changes={"profile": "small", "seed": 4}).experiment.config
    assert (config.generations, config.seed) == (2, 4)


def test_every_kind_that_ships_has_a_public_class():
    for names, table in ((imglab.modalities, MODALITIES), (imglab.models, MODELS)):
        targets = [kind.settings for kind in table.values()]
        targets += [kind.target for kind in table.values() if "text_modality" not in kind.target]
        assert {target.partition(":")[2] for target in targets} <= set(names.__all__)
    for target in REMEDIES.values():
        name = target.partition(":")[2]
        assert getattr(imglab.remedies, name).__name__ == name
    with pytest.raises(AttributeError, match=r"imglab\.models.*Difusion"):
        imglab.models.Difusion  # noqa: B018


@pytest.mark.slow
@pytest.mark.parametrize("names", [imglab.modalities, imglab.models])
def test_every_public_class_can_be_imported(names):
    assert all(getattr(names, name).__name__ == name for name in names.__all__)


@pytest.mark.slow
def test_the_public_names_cost_nothing_until_they_are_used():
    code = """
import sys
import imglab
assert not {"torch", "pydantic", "pandas", "matplotlib"} & set(sys.modules)
imglab.modalities, imglab.models, imglab.regimes
assert not {"torch", "pandas", "matplotlib"} & set(sys.modules)
assert "open" not in imglab.__all__, "`from imglab import *` leaves the built-in one alone"
import imglab.running.places
assert imglab.run.__doc__ and imglab.run is imglab.report.opened.run
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_uses_public_names_only(name):
    tree = ast.parse((ROOT / "scripts" / f"{name}.py").read_text())
    public = {*imglab.__all__, "open"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("imglab"), ast.unparse(node)
        elif isinstance(node, ast.Import):
            assert not [each.name for each in node.names if each.name.startswith("imglab.")]
        elif isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_"), ast.unparse(node)
            if isinstance(node.value, ast.Name) and node.value.id == "imglab":
                assert node.attr in public, ast.unparse(node)


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch):
    """As Jupyter does: the value of a cell's last expression is shown."""
    notebook = json.loads((ROOT / "docs/notebooks/first_chain.ipynb").read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not [cell for cell in cells if cell["outputs"]]

    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    shown = []
    for cell in cells:
        tree = ast.parse("".join(cell["source"]))
        last = tree.body[-1]
        if isinstance(last, ast.Expr):
            tree.body.pop()
        exec(compile(tree, "cell", "exec"), names)
        if isinstance(last, ast.Expr):
            shown.append(eval(ast.unparse(last.value), names))
    frame, report, grid, shape, last_fid = shown
    assert len(frame) == 6
    assert "<iframe" in report._repr_html_()
    assert grid.size[0] > 100
    assert tuple(shape) == (4, 1, 8, 8)
    assert sorted(last_fid.index) == ["accumulate", "digits", "replace"]
