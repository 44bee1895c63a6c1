"""The run directory: what is in it, and how it is read back."""

from __future__ import annotations

import hashlib
import json

import yaml

from imglab.config.load import validate_config
from imglab.running.run import Run
from imglab.store import files
from imglab.store.reader import RunFolder
from imglab.store.reading import read_metrics
from tests.conftest import load_chain
from tests.text_fixtures import TINY_TEXT
from tests.tiny_chains import TINY_GAUSSIAN, finish, hashes, write


def test_layout(whole):
    _, run = whole
    folder = run / "generation_001"
    names = {path.name for path in folder.iterdir()}
    own = {
        "image": {"grid.png", "exhibit.json"},
        "gaussian": set(),
        "text": {"sheet.txt", "per_sample.safetensors", "exhibit.json", "panel.json"},
    }
    config = load_chain(run / "config.yaml")
    common = {
        "model",
        "samples.safetensors",
        "shown.safetensors",
        "exhibit.safetensors",
        "features.safetensors",
        "metrics.json",
        "manifest.json",
    }
    curated = {"accepted.safetensors"} if config.curate else set()
    assert names == common | own[config.modality.model_dump()["kind"]] | curated
    beside = {"config.yaml", "environment.json", "events.jsonl", "shared"}
    if not own[config.modality.model_dump()["kind"]]:
        beside.add("scatter.png")
    assert beside <= {path.name for path in run.iterdir()}


def test_manifest_seals_every_file(whole):
    _, run = whole
    previous = None
    for folder in sorted(run.glob("generation_*")):
        manifest = json.loads((folder / "manifest.json").read_text())
        inner = {
            str(p.relative_to(folder)): files.sha256_file(p)
            for p in folder.rglob("*")
            if p.is_file()
        }
        previous_hash = previous and files.sha256_file(previous / "manifest.json")
        inner.pop("manifest.json")
        assert manifest["files"] == inner
        assert manifest["previous"] == previous_hash
        assert manifest["environment"] == files.sha256_file(run / "environment.json")
        own = manifest.pop("self")
        assert own == hashlib.sha256(files.json_bytes(manifest)).hexdigest()
        previous = folder


def test_config_is_resolved_and_sealed(whole):
    config, run = whole
    first, rest = (run / "config.yaml").read_text().split("\n", 1)
    assert (
        first.removeprefix("# sha256 of what follows: ")
        == hashlib.sha256(rest.encode()).hexdigest()
    )
    saved = yaml.safe_load(rest)
    assert isinstance(saved["threads"], int)
    assert saved["samples"] in (20, 24, 30)
    assert load_chain(run / "config.yaml").seed == load_chain(config).seed


def test_no_path_of_this_machine_is_in_the_generations(whole):
    _, run = whole
    for path in run.glob("generation_*/**/*.json"):
        assert str(run.parent) not in path.read_text(), path


def test_same_config_same_bytes(whole, tmp_path):
    config, run = whole
    finish(config, tmp_path / "again")
    assert hashes(tmp_path / "again") == hashes(run)


def test_samples_are_read_back_with_their_lineage(whole):
    _, run = whole
    drawn = RunFolder(run).samples(1)
    assert set(drawn.origin.tolist()) == {1}
    assert len(RunFolder(run).features(1)) == len(drawn)


def test_a_floor_that_the_text_is_too_short_for_says_why(tmp_path):
    """The reason of text statistics stands beside the floors, and is not taken for one."""
    tree = {
        "name": "short",
        "generations": 1,
        "shown": 2,
        "modality": {**TINY_TEXT, "token_budget": 4096},
        "model": {"kind": "ngram", "order": 2},
        "measure": {"gate": "none"},
    }
    for _ in Run(validate_config(tree, "test"), tmp_path / "run").generations():
        pass
    (row,) = read_metrics(tmp_path / "run")
    assert row["floor"]["text_reason"].startswith("a floor needs 120 real blocks")


def test_each_generation_has_its_picture_where_the_config_asks_for_it(tmp_path):
    changes = ["pictures=each", "generations=2"]
    finish(write(tmp_path, TINY_GAUSSIAN), tmp_path / "run", changes)
    pictures = sorted(path.parent.name for path in (tmp_path / "run").rglob("scatter.png"))
    assert pictures == ["generation_000", "generation_001"]
