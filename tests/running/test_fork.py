"""Forks: nothing computed again, nothing lost with the parent, nothing shared that would
not hold.
"""

from __future__ import annotations

import json
import shutil

import pytest

from imglab.errors import InputError
from imglab.generation import Generation
from imglab.running.fork import fork
from imglab.store import files, layout, reading
from imglab.store.reader import RunFolder
from tests.tiny_chains import TINY_GAUSSIAN, finish, hashes, write

CHAIN = {**TINY_GAUSSIAN, "regime": "replace", "generations": 4}


@pytest.fixture
def parent(tmp_path):
    config = write(tmp_path, CHAIN)
    finish(config, tmp_path / "parent")
    return tmp_path / "parent"


def carried_on(source, out, *changes):
    return [
        event
        for event in fork(source, out, None, changes).events()
        if isinstance(event, Generation)
    ]


def test_the_prefix_is_copied_and_the_rest_follows_the_new_rules(parent, tmp_path):
    out = tmp_path / "healed"
    found = carried_on(
        f"{parent}@1", out, "regime={kind: mix, real_fraction: 1.0}", "generations=5"
    )
    assert [generation.metrics["real_share"] for generation in found] == [1.0, 0.0, 1.0, 1.0, 1.0]
    for g in range(2):
        for path in layout.generation_folder(parent, g).rglob("*"):
            if path.is_file():
                copy = out / path.relative_to(parent)
                assert copy.read_bytes() == path.read_bytes()
                assert not copy.samefile(path)
    described = json.loads((out / "fork.json").read_text())
    assert described["manifest"] == files.sha256_file(parent / "generation_001/manifest.json")
    assert described["generation"] == 1
    after = json.loads((out / "generation_002/manifest.json").read_text())
    assert after["previous"] == described["manifest"]


def test_an_unchanged_fork_goes_on_as_the_parent_did(parent, tmp_path):
    carried_on(f"{parent}@1", tmp_path / "same")
    ours, theirs = hashes(tmp_path / "same"), hashes(parent)
    differing = {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}
    assert differing == {
        "fork.json",
        "generation_002/manifest.json",
        "generation_003/manifest.json",
    }
    manifest = reading.read_manifest(tmp_path / "same", 2)
    assert manifest.pop("fork") == ours["fork.json"], "so that its loss is noticed"
    assert manifest == reading.read_manifest(parent, 2)


def test_it_says_what_it_imports_before_it_does(lab, parent, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "ends_here.py").write_text("raise SystemExit(99)")
    arguments = (
        "fork",
        f"{parent}@1",
        "--out",
        tmp_path / "fork",
        "--set",
        "regime={kind: 'ends_here:rule'}",
    )
    code, out, _ = lab(*arguments)
    assert (code, out) == (99, "imports what the config names: regime (ends_here:rule)\n")


def test_it_survives_its_parent(parent, tmp_path):
    out = tmp_path / "fork"
    fork(f"{parent}@2", out, None, ["regime=accumulate", "generations=6"])
    shutil.rmtree(parent)
    config = out / "config.yaml"
    found = finish(config, out)
    assert len(found) == 6
    assert RunFolder(out).metrics(5)["n_train"] == 30 * 6


def test_it_resumes_with_the_same_command(parent, tmp_path):
    out = tmp_path / "fork"
    first = fork(f"{parent}@0", out, None, ["regime=accumulate"])
    events = first.events()
    next(event for event in events if isinstance(event, Generation) and event.index == 1)
    events.close()
    assert len(carried_on(f"{parent}@0", out, "regime=accumulate")) == 4
    with pytest.raises(InputError, match="is a fork of parent@0"):
        fork(f"{parent}@1", out, None, ["regime=accumulate"])
    with pytest.raises(InputError, match=r"regime.*the run there has"):
        fork(f"{parent}@0", out, None, ["regime={kind: sliding_window, window: 2}"])


@pytest.mark.slow
def test_a_fork_of_a_fork(parent, tmp_path):
    carried_on(f"{parent}@1", tmp_path / "one", "regime=accumulate")
    carried_on(f"{tmp_path / 'one'}@2", tmp_path / "two", "regime=replace")
    assert json.loads((tmp_path / "two/fork_parent.json").read_text())["generation"] == 1


@pytest.mark.parametrize(
    ("source", "changes", "message"),
    [
        ("{parent}@4", [], "there is no finished generation 4 .generations 0 to 3 are finished"),
        ("{parent}@-1", [], "is not RUN@G"),
        ("{parent}", [], "is not RUN@G"),
        ("nowhere@0", [], "is not a run directory"),
        (
            "{parent}@3",
            [],
            "generations: 4 leaves nothing to do after generation 3 .--set generations=5",
        ),
        (
            "{parent}@1",
            ["modality.n_train=20"],
            "modality.n_train: the shared generations have 30, the fork 20",
        ),
        ("{parent}@1", ["seed=7"], "seed: the shared generations have 0, the fork 7"),
        ("{parent}@1", ["regime=replase"], "did you mean 'replace'"),
        (
            "{parent}@0",
            ["regime={kind: mixture, shares: {real: 0.5, last: 0.5}}"],
            "regime: chooses generation 0's training set, too.*run it from the start",
        ),
    ],
)
def test_wrong_forks_are_refused_and_leave_nothing(parent, tmp_path, source, changes, message):
    with pytest.raises(InputError, match=message):
        fork(source.format(parent=parent), tmp_path / "out", None, changes)
    assert not (tmp_path / "out").exists()


def test_the_command(lab, parent, tmp_path):
    code, out, err = lab("fork", f"{parent}@1", "--set", "regime=accumulate", "--out", "healed")
    assert (code, err) == (0, "")
    assert "healed/curves.png" in out
    assert lab("fork", f"{parent}@1")[0] == 2
    code, _, err = lab("fork", f"{parent}@9", "--out", "x")
    assert (code, "Traceback" in err) == (2, False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["model={kind: mixture, components: 2}", "start=base"], "cannot start from generation 0"),
        (
            ["model={kind: alternating, models: [{kind: mixture}, gaussian]}"],
            "cannot start from generation",
        ),
        (["model=kde", "start=scratch", "base=somewhere"], "base"),
        (["threads=3"], "threads: the shared generations used"),
        (
            ["samples=80", "regime={kind: synthetic_augmentation, ratio: 2.0}"],
            "for more than they have",
        ),
    ],
)
def test_what_could_not_go_on_is_refused_before_anything_is_written(
    parent, tmp_path, changes, message
):
    with pytest.raises(InputError, match=message):
        fork(f"{parent}@2", tmp_path / "fork", None, [*changes, "generations=8"])
    assert not (tmp_path / "fork").exists()


@pytest.mark.slow
def test_data_that_were_seen_do_not_count_as_fresh(tmp_path):
    config = write(tmp_path, {**CHAIN, "regime": {"kind": "fresh_data", "fresh": 10}})
    finish(config, tmp_path / "parent")
    source = f"{tmp_path / 'parent'}@2"
    with pytest.raises(InputError, match="fresh data that"):
        fork(
            source,
            tmp_path / "fork",
            None,
            ["regime={kind: fresh_data, fresh: 3}", "generations=6"],
        )
    assert len(carried_on(source, tmp_path / "same", "generations=6")) == 6


def test_it_goes_on_by_the_same_command_without_its_parent(parent, tmp_path):
    out, changes = tmp_path / "fork", ["regime=accumulate", "generations=6"]
    fork(f"{parent}@2", out, None, changes)
    parent.rename(tmp_path / "elsewhere")
    assert len(carried_on(f"{parent}@2", out, *changes)) == 6
    with pytest.raises(InputError, match="is a fork of parent@2"):
        fork(f"{parent}@1", out, None, changes)


def test_a_directory_that_is_there_is_left_alone(parent, tmp_path):
    out = tmp_path / "mine"
    out.mkdir()
    (out / ".hidden").touch()
    with pytest.raises(InputError, match="is there already"):
        fork(f"{parent}@2", out, None, ["generations=6"])
    assert [path.name for path in out.iterdir()] == [".hidden"]


def test_no_theory_for_rules_that_changed(parent, tmp_path):
    from imglab.report.arms import read_arms

    carried_on(f"{parent}@1", tmp_path / "fork", "regime=accumulate", "generations=4")
    whole, forked = read_arms([parent, tmp_path / "fork"])
    assert "variance" in whole.theory
    assert forked.theory == {}
