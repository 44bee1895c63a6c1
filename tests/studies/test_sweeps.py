"""Sweeps: runs by workers that may die, by signals, and on a cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from imglab.running.cache import RunCache
from imglab.store import layout, reading
from imglab.studies.chains import run_chain
from imglab.studies.jobs import Job, Outcome, run_jobs
from imglab.studies.pool import Pool
from imglab.studies.sweeps.config import CONTROL, load_sweep, run_folder
from imglab.studies.sweeps.results import read_sweep, summarise
from imglab.studies.sweeps.run import Sweep
from tests.ray_cluster import cluster
from tests.studies.tiny_sweep import TINY_SWEEP, rows
from tests.tiny_chains import TINY_GAUSSIAN, finish, hashes, write


class TestRuns:
    @pytest.mark.slow
    def test_each_run_is_one_like_any_other(self, lab, tmp_path):
        config = write(tmp_path, {**TINY_SWEEP, "threads": 1})
        code, out, err = lab("sweep", config, "--workers", "2", "--out", "swept")
        assert (code, err) == (0, "")
        assert "variance in generation 2, mixed against replace" in out
        summary = json.loads((tmp_path / "swept/summary.json").read_text())
        assert summary["seeds"] == {arm: [0, 1, 2, 3, 4] for arm in ("replace", "mixed", "control")}
        assert (tmp_path / "swept/sweep.png").is_file()
        alone = {
            key: value
            for key, value in TINY_SWEEP.items()
            if key not in ("arms", "seeds", "contrasts")
        }
        finish(
            write(tmp_path, {**alone, "seed": 3, "threads": 1, "name": "replace"}, "alone"),
            tmp_path / "alone",
        )
        assert hashes(run_folder(tmp_path / "swept", "replace", 3)) == hashes(tmp_path / "alone")
        before = (tmp_path / "swept/mixed/seed-0/generation_002/manifest.json").stat().st_mtime_ns
        assert lab("sweep", config, "--out", "swept")[0] == 0
        assert (
            tmp_path / "swept/mixed/seed-0/generation_002/manifest.json"
        ).stat().st_mtime_ns == before
        assert len(json.loads(lab("metrics", "swept", "--json")[1])["runs"]) == 15
        more = write(tmp_path, {**TINY_SWEEP, "threads": 1, "seeds": [0, 1, 2, 3, 4, 5]}, "more")
        assert lab("sweep", more, "--out", "swept")[0] == 0
        assert len(read_sweep(tmp_path / "swept")["mixed"]) == 6
        assert (
            lab(
                "sweep",
                write(tmp_path, {**TINY_SWEEP, "arms": {"other": None}, "contrasts": []}),
                "--out",
                "swept",
            )[0]
            == 2
        )

    def test_what_it_says_is_json(self, tmp_path):
        sweep = {"a": {0: rows([None, 1.0])}, CONTROL: {0: rows([2.0, None])}}
        for found in sweep.values():
            for row in found[0]:
                row.update(headline=["fid"], reasons={}, extractor="x")
        said = summarise(sweep, [{"metric": "fid", "arms": ["a", CONTROL]}])
        assert "fid" in json.dumps(said, allow_nan=False)


def die_once(path: str) -> None:
    """Kill this process, the first time."""
    if not os.path.exists(path):
        open(path, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_worker_that_dies_costs_no_finished_generation(tmp_path, monkeypatch):
    """A regime of another package kills its worker in generation 1; the sweep goes on and ends."""
    (tmp_path / "deadly.py").write_text(
        "from imglab.regimes import replace\nfrom tests.studies.test_sweeps import die_once\n"
        "def regime(sizes, *, generation, seed):\n"
        f"    if generation == 1: die_once({str(tmp_path / 'died')!r})\n"
        "    return replace(sizes, generation=generation, seed=seed)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    arms = {"deadly": {"regime": {"kind": "deadly:regime"}}, "replace": None}
    config = load_sweep(
        write(tmp_path, {**TINY_SWEEP, "arms": arms, "contrasts": [], "seeds": [0], "threads": 1})
    )
    seen = []
    outcomes = Sweep(config, tmp_path / "swept").run(lambda done, total: seen.append((done, total)))
    assert {outcome.code for outcome in outcomes.values()} == {0}
    assert (tmp_path / "died").exists()
    assert seen[-1] == (9, 9)
    deadly, plain = (tmp_path / "swept" / arm / "seed-0" for arm in ("deadly", "replace"))
    metrics = [reading.read_metrics(folder) for folder in (deadly, plain)]
    assert metrics[0] == metrics[1]


@pytest.mark.slow
def test_a_job_that_always_loses_its_worker_is_given_up(tmp_path, monkeypatch):
    (tmp_path / "fatal.py").write_text("import os\nos._exit(9)\n")
    monkeypatch.syspath_prepend(tmp_path)
    tree = {**TINY_GAUSSIAN, "name": "x", "regime": {"kind": "fatal:regime"}}
    cache = RunCache(tmp_path / "prepared", tmp_path / "generation0")

    def job(tree, folder):
        return Job(run_chain, (yaml.safe_dump(tree), tmp_path / folder, cache))

    plain = {**TINY_GAUSSIAN, "name": "y"}
    jobs = {
        "good": job(plain, "run0"),
        "bad": job(tree, "run"),
        "beside": job(plain, "run1"),
        "after": job(plain, "run2"),
    }
    outcomes = run_jobs(jobs, Pool(2))
    assert outcomes.pop("bad") == Outcome(3, "its worker died 3 times")
    assert outcomes == dict.fromkeys(("good", "beside", "after"), Outcome(0)), (
        "nobody is given up for a neighbour"
    )


@pytest.mark.slow
def test_a_signal_stops_a_sweep_and_the_same_command_goes_on(tmp_path):
    config = write(
        tmp_path, {**TINY_SWEEP, "generations": 200, "seeds": [0], "threads": 1, "contrasts": []}
    )
    command = [
        sys.executable,
        "-m",
        "imglab",
        "sweep",
        str(config),
        "--out",
        str(tmp_path / "swept"),
        "--workers",
        "2",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    folders = [tmp_path / "swept" / arm / "seed-0" for arm in ("replace", "mixed", "control")]
    while process.poll() is None and sum(map(layout.count_finished, folders)) <= 5:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 3, err
    assert "run the same command again" in err
    done = [layout.count_finished(folder) for folder in folders]
    assert 0 < sum(done) < 600
    time.sleep(2)
    assert [layout.count_finished(folder) for folder in folders] == done  # no worker is left


@pytest.mark.slow
def test_on_a_ray_cluster(tmp_path):
    pytest.importorskip("ray", reason="ray is not installed")
    config = write(tmp_path, {**TINY_SWEEP, "seeds": [0, 1]})
    swept = tmp_path / "swept"
    command = [sys.executable, "-m", "imglab", "sweep", str(config), "--out", str(swept)]
    with cluster():
        done = subprocess.run(
            [*command, "--ray", "auto"], capture_output=True, text=True, timeout=300
        )
    assert done.returncode == 0, done.stderr
    assert all(len(seeds) == 2 for seeds in read_sweep(swept).values())
