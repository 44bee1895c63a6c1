"""Runs with a curator: what they write, what a person marks, and what is refused."""

from __future__ import annotations

import csv
import json
import re
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from imglab.config.load import validate_config
from imglab.errors import InputError, Stopped
from imglab.running.build import build_modality, build_models
from imglab.running.checks import check_curator
from imglab.running.fork import _check_curator
from imglab.running.run import Run
from imglab.samples import REAL
from imglab.store import files
from imglab.store.files import read_signed
from imglab.store.reader import RunFolder
from tests.test_loop import Adder
from tests.tiny_chains import TINY_GAUSSIAN, TINY_IMAGE, finish, write

KEEP = {"regime": "replace", "generations": 2}


def test_a_curated_run_keeps_what_it_says(tmp_path):
    config = write(
        tmp_path, {**TINY_IMAGE, "generations": 3, "curate": {"kind": "confidence", "keep": 0.5}}
    )
    finish(config, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    for g in range(3):
        metrics = run.metrics(g)
        accepted = run.accepted(g)
        assert accepted is not None
        assert (metrics["n_synthetic"], len(accepted)) == (48, 24)
        assert metrics["share_kept"] == 0.5
        assert metrics["verifier_precision"] == metrics["accepted"]["precision"]
        assert metrics["accepted"]["n_synthetic"] == 24
        assert metrics["accepted"]["floor"] != metrics["floor"]
        assert (run.samples(g).origin == g).all()
        if g:
            assert metrics["n_train"] == 24
            assert metrics["real_share"] == 0.0


def test_a_curator_of_a_third_party(tmp_path, monkeypatch):
    (tmp_path / "my_curators.py").write_text(
        "import torch\n"
        "def some(samples, context, *, every):\n"
        "    return torch.arange(0, len(samples), every)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = write(
        tmp_path, {**TINY_GAUSSIAN, **KEEP, "curate": {"kind": "my_curators:some", "every": 3}}
    )
    found = finish(config, tmp_path / "run")
    assert found[1].metrics["n_train"] == 10
    with pytest.raises(InputError, match="did you mean 'every'"):
        Run.from_file(config, tmp_path / "other", ["curate={kind: my_curators:some, evry: 3}"])


def test_nothing_left_ends_with_the_key(tmp_path, monkeypatch):
    (tmp_path / "strict_curator.py").write_text(
        "import torch\ndef none(samples, context):\n    return torch.empty(0, dtype=torch.int64)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = write(tmp_path, {**TINY_GAUSSIAN, **KEEP, "curate": "strict_curator:none"})
    with pytest.raises(InputError, match="curate: nothing is left to train generation 1 on"):
        finish(config, tmp_path / "run")
    assert RunFolder(tmp_path / "run").metrics(0)["accepted"] is None
    finish(config, tmp_path / "kept", ["regime=accumulate"])
    assert RunFolder(tmp_path / "kept").metrics(1)["real_share"] == 1.0


@pytest.mark.parametrize("tree", [TINY_IMAGE], ids=["image"])
def test_a_person_marks(tmp_path, tree):
    config = write(tmp_path, {**tree, "generations": 2, "samples": 12, "curate": "human"})
    run = tmp_path / "run"
    for g in range(2):
        with pytest.raises(Stopped, match=f"waiting for marks: 12 of 12 samples of generation {g}"):
            finish(config, run)
        marks = run / "marks" / f"generation_{g:03d}" / "marks.csv"
        rows = list(csv.reader(marks.open()))
        assert rows[0] == ["file", "keep"]
        assert all((marks.parent / name).is_file() for name, _ in rows[1:])
        lines = [f"{name},{'yes' if at % 2 else 0}" for at, (name, _) in enumerate(rows[1:])]
        marks.write_text("\n".join(["file,keep", *lines]))
    found = finish(config, run)
    accepted = RunFolder(run).accepted(1)
    assert accepted is not None
    assert accepted.tolist() == [1, 3, 5, 7, 9, 11]
    assert found[1].metrics["n_train"] == 6


def test_marks_of_other_samples_are_not_taken(tmp_path):
    config, run = (
        write(tmp_path, {**TINY_IMAGE, "samples": 12, "curate": "human"}),
        tmp_path / "run",
    )
    with pytest.raises(Stopped):
        finish(config, run)
    names = run / "marks/generation_000/.names.json"
    files.write_signed(names, {**read_signed(names, ()), "samples": "of another machine"})
    with pytest.raises(InputError, match=r"holds marks of other samples: .*move it away"):
        finish(config, run)


def test_marks_that_are_none(tmp_path):
    config = write(tmp_path, {**TINY_IMAGE, "samples": 12, "curate": "human"})
    with pytest.raises(Stopped):
        finish(config, tmp_path / "run")
    marks = tmp_path / "run/marks/generation_000/marks.csv"
    whole = marks.read_text()
    marks.write_text(whole.replace("000003.png,", "000003.png,perhaps"))
    with pytest.raises(InputError, match="line 5: 'perhaps' is not a mark"):
        finish(config, tmp_path / "run")
    marks.write_text(re.sub(",$", ",0", whole, flags=re.M))
    with pytest.raises(InputError, match="keeps no sample"):
        finish(config, tmp_path / "run")
    assert not (tmp_path / "run/generation_000/manifest.json").exists(), (
        "the marks can still be changed"
    )
    marks.write_text("\n".join(whole.splitlines()[:5]))
    with pytest.raises(InputError, match="marks 4 of 12 samples: 000004"):
        finish(config, tmp_path / "run")


def test_the_manifest_seals_the_accepted(tmp_path):
    config = write(tmp_path, {**TINY_GAUSSIAN, **KEEP, "curate": {"kind": "random", "keep": 0.5}})
    finish(config, tmp_path / "run")
    manifest = json.loads((tmp_path / "run/generation_000/manifest.json").read_text())
    assert "samples.safetensors" in manifest["files"]
    assert REAL not in RunFolder(tmp_path / "run").samples(0).origin.tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["curate={kind: oracle, keep: 0.01}"], "curate.keep: keeps none of"),
        (["curate={kind: oracle, kep: 0.5}"], r"curate.kep: unknown key \(did you mean 'keep'"),
        (["curate=orakel"], "curate.kind: 'orakel' is not a known kind .*oracle"),
        (["curate=confidence"], "curate.kind: needs a modality that has a judge"),
        (["curate=label_verifier"], "curate.kind: needs a modality that has a judge"),
        (["curate=preference"], "curate.kind: needs a modality that has a judge"),
        (["curate={kind: preference, choices: 1}"], "curate.choices: must be greater than or"),
        (["curate={kind: likelihood_rank, end: lest}"], r"curate.end: .*did you mean 'least'"),
        (
            ["curate=human"],
            "curate.kind: needs a modality that has a form in which samples are exported",
        ),
        (
            ["curate=drop_watermarked"],
            "curate.kind: needs a modality that has a watermark detector",
        ),
    ],
)
def test_wrong_curation_is_refused(tmp_path, changes, message):
    config = write(tmp_path, {**TINY_GAUSSIAN, "samples": 12, "modality": {"kind": "gaussian"}})
    changes = [*changes, "curate.oversample=1"] if "0.01" in changes[0] else changes
    with pytest.raises(InputError, match=message):
        Run.from_file(config, tmp_path / "run", changes)


@pytest.mark.parametrize(
    ("curate", "refused"),
    [
        ({"kind": "likelihood_rank", "end": "least"}, True),
        ({"kind": "density"}, False),
        ({"kind": "preference", "reward": "density"}, False),
    ],
)
def test_models_that_take_turns_have_the_density_that_is_asked_of_them(curate, refused):
    """Of generation 0 alone, unless each generation ranks by its own model."""
    changes = {"model": {"kind": "alternating", "models": ["gaussian", "kde"]}, "curate": curate}
    config = validate_config({"name": "x", **TINY_GAUSSIAN, **changes}, "config")
    modality = build_modality(config)
    models = [*build_models(config, modality)[:1], Adder()]
    expected = pytest.raises(InputError, match="provides log_density; Adder does not")
    with expected if refused else nullcontext():
        check_curator(config, modality, models)


@pytest.mark.parametrize(
    "curate", [{"kind": "density"}, {"kind": "preference", "reward": "density"}]
)
def test_a_fork_asks_the_shared_generation_0_for_its_density(curate):
    config = validate_config({"name": "x", **TINY_GAUSSIAN, "curate": curate}, "config")
    experiment: Any = SimpleNamespace(config=config)
    stored: Any = SimpleNamespace(model=lambda g: Adder())
    with pytest.raises(InputError, match="generation 0 that provides log_density; Adder does not"):
        _check_curator(experiment, stored)


def test_marks_go_by_the_file_that_they_stand_beside(tmp_path):
    config = write(tmp_path, {**TINY_IMAGE, "generations": 1, "samples": 12, "curate": "human"})
    with pytest.raises(Stopped):
        finish(config, tmp_path / "run")
    marks = tmp_path / "run/marks/generation_000/marks.csv"
    lines = [f"{at:06d}.png,{int(at in (2, 7))}" for at in range(12)]
    marks.write_text("\n".join(["file,keep", *reversed(lines)]))
    finish(config, tmp_path / "run")
    accepted = RunFolder(tmp_path / "run").accepted(0)
    assert accepted is not None
    assert accepted.tolist() == [2, 7]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["000001.png,1", "000001.png,1"], "names '000001.png' twice"),
        (["other.png,1"], "'other.png' is not the file of a sample"),
    ],
)
def test_marks_of_no_file_are_refused(tmp_path, lines, message):
    config = write(tmp_path, {**TINY_IMAGE, "generations": 1, "samples": 12, "curate": "human"})
    with pytest.raises(Stopped):
        finish(config, tmp_path / "run")
    (tmp_path / "run/marks/generation_000/marks.csv").write_text("\n".join(["file,keep", *lines]))
    with pytest.raises(InputError, match=message):
        finish(config, tmp_path / "run")


def a_mask(samples, context):
    return torch.ones(len(samples), dtype=torch.bool)


def twice(samples, context):
    return torch.tensor([1, 1, 2])


def beyond(samples, context):
    return torch.tensor([0, len(samples)])


@pytest.mark.parametrize(
    ("curator", "message"),
    [
        ("a_mask", "expected int64 indices"),
        ("twice", "do not ascend"),
        ("beyond", "indices beyond the"),
    ],
)
def test_a_curator_that_returns_something_else_is_refused(tmp_path, curator, message):
    config = write(
        tmp_path,
        {**TINY_GAUSSIAN, "curate": {"kind": f"tests.running.test_curated_runs:{curator}"}},
    )
    with pytest.raises(InputError, match=message):
        finish(config, tmp_path / "run")


def test_too_few_left_for_the_regime_is_told(tmp_path):
    tree = {
        **TINY_GAUSSIAN,
        "curate": {"kind": "duplicates", "distance": 0.5},
        "regime": "synthetic_augmentation",
    }
    with pytest.raises(InputError, match="generation 1 has too few samples to choose from"):
        finish(write(tmp_path, tree), tmp_path / "run")
