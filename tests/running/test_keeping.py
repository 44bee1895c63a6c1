"""The policy `keep` and `imglab prune`: what is removed, what is not, and what is said of it."""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from imglab.config.load import validate_config
from imglab.config.sections import KeepSettings
from imglab.errors import InputError
from imglab.running import earlier_runs
from imglab.running.cost import of_run
from imglab.running.fork import fork
from imglab.running.run import Run
from imglab.store import files
from imglab.store.pruned import PRUNED, is_kept, read_pruned, write_pruned
from imglab.store.verify import verify
from tests.running.test_cost import MEASURED
from tests.tiny_chains import TINY_GAUSSIAN, write

LAST = {"models": "last", "samples": "last", "features": "last"}
CHAIN: dict[str, Any] = {**TINY_GAUSSIAN, "name": "x", "generations": 4, "regime": "replace"}


def made(folder: Path, **changes: Any) -> Path:
    list(Run(validate_config({**CHAIN, **changes}, "test"), folder).generations())
    return folder


def present(run: Path, name: str) -> list[int]:
    return [int(path.parent.name[-3:]) for path in sorted(run.glob(f"generation_*/{name}"))]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that keeps everything."""
    return made(tmp_path_factory.mktemp("runs") / "whole")


@pytest.fixture(scope="module")
def lean(tmp_path_factory):
    """The same run, which keeps what is last."""
    return made(tmp_path_factory.mktemp("runs") / "lean", keep=LAST)


def test_every_nth_and_the_last():
    assert [g for g in range(8) if is_kept(3, g, 7)] == [0, 3, 6, 7]
    assert [g for g in range(8) if is_kept("last", g, 7)] == [7]


def test_a_policy_removes_files_and_changes_nothing_else(whole, lean):
    assert present(lean, "model") == [0, 3]
    assert present(lean, "samples.safetensors") == [3]
    assert present(lean, "features.safetensors") == [3]
    for g in range(4):
        name = f"generation_{g:03d}/manifest.json"
        ours, theirs = (json.loads((run / name).read_text()) for run in (lean, whole))
        assert ours["files"] == theirs["files"]
        assert ours["config"] == theirs["config"]


def test_a_config_without_a_policy_is_written_as_before(whole, lean):
    assert "keep" not in (whole / "config.yaml").read_text()
    assert "keep:" in (lean / "config.yaml").read_text()
    assert not (whole / PRUNED).exists()


def test_a_lean_run_is_whole_and_says_what_it_lacks(lean):
    (line,) = verify(lean)
    assert line.endswith(
        "4 generations; removed to save space: models of 1 to 2, samples of 0 to 2, "
        "features of 0 to 2"
    )


def test_what_is_put_back_must_match(whole, lean, tmp_path):
    run = tmp_path / "run"
    files.make_folder(run)
    shutil.copytree(lean, run, dirs_exist_ok=True)
    place = run / "generation_001/samples.safetensors"
    shutil.copy(whole / "generation_001/samples.safetensors", place)
    assert list(verify(run))
    place.write_bytes(b"other")
    with pytest.raises(InputError, match=r"samples\.safetensors"):
        list(verify(run))

    # The list of what was removed is sealed, too.
    place.unlink()
    (run / PRUNED).write_text((run / PRUNED).read_text().replace('"1"', '"3"', 1))
    with pytest.raises(InputError, match=PRUNED):
        list(verify(run))


def test_other_missing_files_are_damage_still(lean, tmp_path):
    shutil.copytree(lean, tmp_path / "run")
    (tmp_path / "run/generation_003/samples.safetensors").unlink()
    with pytest.raises(InputError, match="is missing"):
        list(verify(tmp_path / "run"))


def test_a_run_goes_on_where_its_regime_reads_only_the_last_samples(lean, whole, tmp_path):
    metrics = []
    for run in (lean, whole):
        copy = tmp_path / run.name
        shutil.copytree(run, copy)
        keep = {} if run is whole else {"keep": LAST}
        made(copy, generations=5, **keep)
        metrics.append((copy / "generation_004/metrics.json").read_bytes())
    assert metrics[0] == metrics[1]


def test_it_says_before_it_begins_that_samples_are_missing(tmp_path):
    run = made(tmp_path / "run", keep={"samples": "last"}, regime="accumulate", generations=3)
    config = validate_config({**CHAIN, "regime": "accumulate", "generations": 4}, "test")
    with pytest.raises(InputError, match="trains generation 3 on the samples of 0, 1"):
        list(Run(config, run).generations())
    assert not (run / "generation_003").exists()


def test_a_fork_takes_what_is_left(lean, tmp_path):
    with pytest.raises(InputError, match="was removed to save space"):
        fork(f"{lean}@1", tmp_path / "none", changes=["generations=4"])
    assert not (tmp_path / "none").exists()

    forked = fork(f"{lean}@3", tmp_path / "fork", changes=["generations=5"])
    list(forked.generations())
    removed = dict(read_pruned(lean).removed)
    removed[3] = frozenset({"models", "samples", "features"})
    assert read_pruned(tmp_path / "fork").removed == removed
    assert list(verify(tmp_path / "fork"))


class TestCommand:
    def test_nothing_is_removed_without_yes(self, lab, tmp_path):
        write(tmp_path, CHAIN)
        assert lab("run", "tiny.yaml", "--out", "r")[0] == 0
        code, out, _ = lab("prune", "r", "--models", "last", "--features", "2")
        assert code == 0
        assert "would remove models of 1 to 2, features of 1" in out
        assert present(tmp_path / "r", "model") == [0, 1, 2, 3]

        code, out, _ = lab("prune", "r", "--models", "last", "--features", "2", "--yes")
        assert (code, "removed models of 1 to 2, features of 1" in out) == (0, True)
        assert present(tmp_path / "r", "model") == [0, 3]
        assert lab("verify", "r")[0] == lab("metrics", "r")[0] == lab("report", "r")[0] == 0
        assert "would remove nothing" in lab("prune", "r", "--models", "last")[1]
        code, _, err = lab("prune", "r", "--models", "frist")
        assert (code, "neither all, last nor a number" in err) == (2, True)
        assert lab("prune", "r")[0] == 2

        # What is gone is named, whoever asks for it.
        code, _, err = lab("prune", "r", "--samples", "last", "--yes")
        code, _, err = lab("export", "r@1", "--to", "e")
        assert code == 2

    def test_a_run_that_is_being_written_is_refused(self, lab, lean):
        with FileLock(lean / ".lock"):
            # A lock of the same thread would be taken again.
            codes: list[Any] = []
            asked = threading.Thread(
                target=lambda: codes.append(lab("prune", str(lean), "--models", "last"))
            )
            asked.start()
            asked.join()
        (result,) = codes
        assert result[0] == 2
        assert "another process is writing this run" in result[2]

    def test_samples_of_an_unfinished_run_stay(self, lab, tmp_path):
        events = Run(validate_config(CHAIN, "test"), tmp_path / "r").generations()
        next(events)
        next(events)
        events.close()  # type: ignore[attr-defined]
        code, _, err = lab("prune", "r", "--samples", "last", "--yes")
        assert code == 2
        assert "has finished 2 of 4 generations" in err


def test_a_damaged_list_is_refused(tmp_path):
    write_pruned(tmp_path, read_pruned(tmp_path))
    files.write_signed(tmp_path / PRUNED, {"removed": {"0": ["metrics"]}, "sizes": {}})
    with pytest.raises(InputError, match="names other files"):
        read_pruned(tmp_path)


def test_the_estimate_knows_the_policy(lean):
    sizes = [60] * 10
    everything = of_run(MEASURED, 10, sizes, real=60)
    keep = KeepSettings(models="last", features=5)
    less = of_run(MEASURED, 10, sizes, real=60, keep=keep)
    assert everything.disk - less.disk == 8 * 100 + 7 * 1

    # A run that has lost files says what a generation takes all the same.
    of_lean, _ = earlier_runs._disk(lean, 4)
    size = earlier_runs.size_below(lean / "generation_000/model")
    assert of_lean["fit"] == pytest.approx(size, rel=0.05)


def test_a_smaller_policy_may_follow(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    made(tmp_path / "run", keep={"models": "last"})
    assert present(tmp_path / "run", "model") == [0, 3]
    assert replace(read_pruned(tmp_path / "run"), sizes={}).line() == "models of 1 to 2"
