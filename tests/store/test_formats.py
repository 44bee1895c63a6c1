"""Runs of format 2, which keep the accepted rows in samples.safetensors, open and go on as ever."""

from __future__ import annotations

import hashlib
import json
import shutil

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from imglab.config.load import dump_config, validate_config
from imglab.config.merge import merged
from imglab.config.yaml import parse_yaml
from imglab.errors import InputError
from imglab.report.arms import read_arms
from imglab.report.build import build_page
from imglab.running.export import export
from imglab.running.fork import fork
from imglab.running.resume import resolve
from imglab.running.run import Run
from imglab.store import files, layout, reading
from imglab.store.reader import RunFolder
from imglab.store.sealed_config import config_hash, read_sealed, write_config
from imglab.store.verify import verify
from imglab.studies.chains import chain_job
from tests.conftest import ROOT
from tests.tiny_chains import TINY_GAUSSIAN, TINY_IMAGE, finish, hashes, write

CURATED = {
    **TINY_GAUSSIAN,
    "samples": 24,
    "regime": "accumulate",
    "curate": {"kind": "oracle", "keep": 0.5},
}


def as_format_2(run):
    """Turn a run of today into the one that the version before wrote, byte for byte."""
    path = run / "environment.json"
    environment = reading.read_environment(run)
    files.write_signed(path, {**environment, "format_version": 2})

    previous = None
    for g in layout.finished_ones(run):
        folder = layout.generation_folder(run, g)
        samples = folder / "samples.safetensors"
        accepted = folder / "accepted.safetensors"
        save_file({**load_file(samples), **load_file(accepted)}, samples)
        accepted.unlink()

        manifest = reading.read_manifest(run, g)
        manifest["files"].pop(accepted.name)
        manifest["files"][samples.name] = files.sha256_file(samples)
        manifest["environment"] = files.sha256_file(path)
        manifest["previous"] = previous
        files.write_signed(folder / layout.MANIFEST, manifest)
        previous = files.sha256_file(folder / layout.MANIFEST)
    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A config and a curated run of it, of the format of today."""
    folder = tmp_path_factory.mktemp("formats")
    config = write(folder, CURATED)
    finish(config, folder / "run")
    return config, folder / "run"


@pytest.fixture
def old(whole, tmp_path):
    """The same run in format 2."""
    return as_format_2(shutil.copytree(whole[1], tmp_path / "old"))


def format_of(run):
    return json.loads((run / "environment.json").read_text())["format_version"]


def accepted_files(run):
    return sorted(run.glob("generation_*/accepted.safetensors"))


def test_it_is_read_as_a_run_of_today_is(whole, old, tmp_path):
    _, new = whole
    for g in range(3):
        before, now = RunFolder(old).accepted(g), RunFolder(new).accepted(g)
        assert before is not None
        assert now is not None
        assert torch.equal(before, now)
        assert torch.equal(RunFolder(old).samples(g).data, RunFolder(new).samples(g).data)
        assert RunFolder(old).size(g) == 24
    assert reading.read_metrics(old) == reading.read_metrics(new)
    assert list(verify(old)) == [f"{old}: whole, 3 generations"]
    assert "old" in build_page(read_arms([old, new])).html


def test_metrics_that_an_older_format_lacks_are_null_with_the_reason(old):
    """A run of before has none of them: they are taken out here as a run of that time has them."""
    metrics = old / "generation_000" / "metrics.json"
    row = json.loads(metrics.read_text())
    for name in layout.SINCE_FORMAT_4:
        del row[name]
    files.write_json(metrics, row)
    manifest = reading.read_manifest(old, 0)
    manifest["files"]["metrics.json"] = files.sha256_file(metrics)
    files.write_signed(old / "generation_000" / layout.MANIFEST, manifest)

    first = reading.read_metrics(old)[0]
    assert first["fid_shape"] is None
    assert first["reasons"]["fid_shape"] == "made before format 4"


def test_its_accepted_samples_are_exported(tmp_path):
    curate = {"kind": "random", "keep": 0.5}
    config = write(tmp_path, {**TINY_IMAGE, "generations": 1, "curate": curate})
    finish(config, tmp_path / "new")
    shutil.copytree(tmp_path / "new", tmp_path / "old")
    as_format_2(tmp_path / "old")

    for name in ("new", "old"):
        assert export(f"{tmp_path / name}@0", tmp_path / f"{name}_all") == 48
        to = tmp_path / f"{name}_accepted"
        assert export(f"{tmp_path / name}@0", to, accepted=True) == 24
    new, old = (
        json.loads((tmp_path / f"{n}_accepted/manifest.json").read_text()) for n in ("new", "old")
    )
    assert new["files"] == old["files"]


@pytest.mark.parametrize("event", [0, 5, 9])
def test_it_goes_on_in_its_own_format_wherever_it_is_cut(whole, tmp_path, event):
    """So that the version which began it can still open it."""
    config, _ = whole
    finish(config, tmp_path / "expected", ["generations=3"])
    expected = hashes(as_format_2(tmp_path / "expected"))

    run = tmp_path / "run"
    finish(config, run, ["generations=1"])
    as_format_2(run)
    events = Run.from_file(config, run).events()
    for _ in range(event + 1):
        next(events)
    events.close()
    finish(config, run)

    assert hashes(run) == expected
    assert accepted_files(run) == []
    assert list(verify(run)) == [f"{run}: whole, 3 generations"]


def test_a_stage_that_was_not_finished_is_done_again(whole, tmp_path):
    config, run = whole[0], tmp_path / "run"
    finish(config, run, ["generations=1"])
    as_format_2(run)
    folder = run / "generation_001"
    for _ in (events := Run.from_file(config, run).events()):
        if (folder / "features.safetensors").exists():
            events.close()
            break
    assert "accepted" not in load_file(folder / "samples.safetensors")

    finish(config, run)
    assert len(load_file(folder / "samples.safetensors")["accepted"]) == 24


def test_a_fork_of_it_keeps_its_format(whole, old, tmp_path):
    changes = ["regime=replace", "generations=3"]
    for parent, name in ((whole[1], "new"), (old, "forked")):
        for _ in fork(f"{parent}@0", tmp_path / name, changes=changes).events():
            pass

    forked, new = tmp_path / "forked", tmp_path / "new"
    assert (format_of(forked), format_of(new)) == (2, layout.FORMAT_VERSION)
    assert accepted_files(forked) == []
    assert list(verify(forked)) == [f"{forked}: whole, 3 generations"]
    assert reading.read_metrics(forked) == reading.read_metrics(new)


def test_the_accepted_have_a_file_of_their_own(whole):
    _, run = whole
    assert format_of(run) == layout.FORMAT_VERSION == 4
    assert len(accepted_files(run)) == 3
    for g in range(3):
        assert "accepted" not in load_file(run / f"generation_{g:03d}" / "samples.safetensors")
        assert "accepted.safetensors" in reading.read_manifest(run, g)["files"]


@pytest.mark.parametrize("version", [1, 5, "4", None, [4]])
def test_an_unknown_format_is_named_everywhere(whole, old, tmp_path, version):
    config, _ = whole
    environment = reading.read_environment(old)
    files.write_signed(old / "environment.json", {**environment, "format_version": version})
    for call in (
        lambda: reading.read_metrics(old),
        lambda: read_arms([old]),
        lambda: export(f"{old}@1", tmp_path / "out"),
        lambda: fork(f"{old}@1", tmp_path / "fork"),
        lambda: finish(config, old),
        lambda: RunFolder(old).samples(0),
        lambda: list(verify(old)),
    ):
        with pytest.raises(InputError, match=r"has format .*, made by imglab .*reads 2 to 4"):
            call()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gaussian", "18527b94b30c5d3a18ea214750bb30a1e75bdb2474496b643bd4e4c6a5d08077"),
        ("image", "ab2f8ba43050660c450a01ba193878ed3f253c5a859ea48c5bdff409b4f49443"),
    ],
)
def test_a_config_of_format_3_keeps_its_hash(name, expected):
    """The hashes are those that version 0.1 gave; manifests of its runs hold them."""
    tree = yaml.safe_load((ROOT / f"configs/smoke/{name}.yaml").read_text())
    tree["measure"] = {"floor_splits": 20}
    if name == "image":
        tree["modality"]["extractor"]["network"] = "small"
    assert config_hash(validate_config(tree, "test")) == expected


def test_a_run_of_before_goes_on_with_its_own_config(tmp_path):
    """Its config left open what has another default since: the run keeps what it began with."""
    tree = {**TINY_IMAGE, "generations": 1, "measure": {}}
    tree["modality"] = {**TINY_IMAGE["modality"], "extractor": {"kind": "classifier", "images": 64}}
    config = write(tmp_path, tree)
    before = ["measure.floor_splits=20", "modality.extractor.network=small"]
    finish(config, tmp_path / "run", before)
    finish(config, tmp_path / "run", ["generations=2"])
    assert list(verify(tmp_path / "run")) == [f"{tmp_path / 'run'}: whole, 2 generations"]
    stored = read_sealed(tmp_path / "run" / "config.yaml")
    assert stored.measure.floor_splits == 20


PRETRAINED = {
    "name": "before",
    "modality": {"kind": "text", "tokenizer": {"kind": "pretrained", "name": "a"}},
    "model": "ngram",
}


def test_begin_tokens_are_handed_on_as_they_were_asked_for():
    tree = merged(PRETRAINED, {"modality.tokenizer.begin_tokens": False}, "a.yaml")
    config = validate_config(tree, "a.yaml")
    again = validate_config(parse_yaml(dump_config(config), "dump"), "dump")
    assert not again.modality.model_dump()["tokenizer"]["begin_tokens"]
    assert config_hash(again) == config_hash(config)


def test_a_run_from_before_begin_tokens_goes_on_without_them(tmp_path):
    now = validate_config(PRETRAINED, "a.yaml")
    tree = yaml.safe_load(dump_config(resolve(now, tmp_path / "new", "a.yaml")))
    del tree["modality"]["tokenizer"]["begin_tokens"]
    text = yaml.safe_dump(tree, sort_keys=False).encode()
    sealed = f"# sha256 of what follows: {hashlib.sha256(text).hexdigest()}\n".encode()
    (tmp_path / "config.yaml").write_bytes(sealed + text)

    resumed = resolve(now, tmp_path, "a.yaml")
    assert not resumed.modality.model_dump()["tokenizer"]["begin_tokens"]
    assert config_hash(resumed) == config_hash(read_sealed(tmp_path / "config.yaml"))
    asked = merged(PRETRAINED, {"modality.tokenizer.begin_tokens": True}, "a.yaml")
    with pytest.raises(InputError, match="begin_tokens"):
        resolve(validate_config(asked, "a.yaml"), tmp_path, "a.yaml")


def test_a_worker_is_told_what_an_older_run_began_with(tmp_path):
    """A worker gets every key spelled out, so that it could not see which were left open."""
    now = validate_config(PRETRAINED, "a.yaml")
    tree = merged(
        PRETRAINED,
        {"modality.tokenizer.begin_tokens": False, "measure.floor_splits": 70, "threads": 1},
        "a.yaml",
    )
    write_config(tmp_path, validate_config(tree, "a.yaml"))

    job = chain_job(now, tmp_path, 1, tmp_path / "cache")
    of_worker = validate_config(parse_yaml(job.arguments[0], "job"), "job")
    assert not of_worker.modality.model_dump()["tokenizer"]["begin_tokens"]
    assert of_worker.measure.floor_splits == 70
    resolve(of_worker, tmp_path, "job")
