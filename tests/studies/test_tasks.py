"""A sweep as tasks of a job array, its status, and arms that are added to it."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imglab.errors import InputError, Problem
from imglab.running.cost import of_run
from imglab.store import locks
from imglab.studies import pool
from imglab.studies.jobs import Job, run_jobs
from imglab.studies.sweeps import estimate
from imglab.studies.sweeps.config import load_sweep
from imglab.studies.sweeps.run import Sweep
from imglab.studies.sweeps.tasks import Task, status, status_lines, unfinished
from tests.running.test_cost import MEASURED
from tests.studies import stubborn
from tests.studies.tiny_sweep import TINY_SWEEP
from tests.tiny_chains import write

SWEEP = {**TINY_SWEEP, "threads": 1, "seeds": [0, 1], "generations": 1, "contrasts": []}


@pytest.fixture
def in_turn(monkeypatch):
    """Run jobs one after the other in this process; return the names of those that ran."""
    names: list[str] = []

    def run_in_turn(jobs, place, watch, ended):
        names.extend(jobs)
        outcomes = {name: job.run() for name, job in jobs.items()}
        for name, outcome in outcomes.items():
            ended(name, outcome)
        return outcomes

    monkeypatch.setattr("imglab.studies.sweeps.run.run_jobs", run_in_turn)
    monkeypatch.setattr("imglab.report.results.write_results", lambda folder: [])
    return names


@given(st.integers(1, 20))
def test_tasks_share_out_all_runs(tmp_path_factory, count):
    config = load_sweep(write(tmp_path_factory.mktemp("x"), SWEEP))
    parts = [Task(number, count).names(config) for number in range(1, count + 1)]
    assert [name for part in parts for name in part] == [
        f"{arm}/seed-{seed}" for arm, seed, _ in config.runs()
    ]
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_task_has_a_seed_where_there_are_as_many_tasks(tmp_path):
    names = Task(2, 2).names(load_sweep(write(tmp_path, SWEEP)))
    assert names == ["replace/seed-1", "mixed/seed-1", "control/seed-1"]


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/", "a/b", "-1/3", "1/0"])
def test_what_is_no_task(text):
    with pytest.raises(InputError, match=r"--only.*count from 1"):
        Task.parse(text)


@pytest.mark.slow
def test_two_tasks_make_one_sweep_and_the_last_one_summarises(lab, tmp_path, in_turn):
    write(tmp_path, SWEEP)
    code, out, _ = lab("sweep", "tiny.yaml", "--only", "1/2", "--out", "s")
    assert code == 0
    assert "task 1 of 2: 3 runs" in out
    assert "3 runs of other tasks are not finished" in out
    assert not (tmp_path / "s/summary.json").exists()

    code, out, _ = lab("sweep", "tiny.yaml", "--status", "--out", "s")
    assert "mixed/seed-1: 0 of 1 generations, not begun" in out
    assert out.splitlines()[-1] == "3 of 6 runs, 3 of 6 generations finished"

    assert lab("sweep", "tiny.yaml", "--only", "2/2", "--out", "s")[0] == 0
    assert (tmp_path / "s/summary.json").exists()
    assert len(in_turn) == len(set(in_turn)) == 6


def test_a_task_beyond_the_runs_has_nothing_to_do(lab, tmp_path, in_turn):
    write(tmp_path, SWEEP)
    code, out, _ = lab("sweep", "tiny.yaml", "--only", "1/9", "--out", "s")
    assert code == 0
    assert "task 1 of 9: 0 runs" in out
    assert not in_turn


@pytest.mark.slow
def test_arms_and_contrasts_are_added_to_a_finished_sweep(lab, tmp_path, in_turn):
    asked = {"metric": "variance", "arms": ["mixed", "replace"], "generation": 0}
    tree = {**SWEEP, "seeds": [0], "contrasts": [asked]}
    write(tmp_path, tree)
    assert lab("sweep", "tiny.yaml", "--out", "s")[0] == 0
    before = (tmp_path / "s/mixed/seed-0/generation_000/manifest.json").read_bytes()

    # What was not fixed before results could be seen is marked.
    later = {"metric": "variance", "arms": ["half", "replace"], "generation": 0}
    arms = {**SWEEP["arms"], "half": {"regime": "accumulate"}}
    config = load_sweep(write(tmp_path, {**tree, "arms": arms, "contrasts": [asked, later]}))
    assert unfinished(config, tmp_path / "s") == ["half/seed-0"]
    code, out, _ = lab("sweep", "tiny.yaml", "--out", "s")
    assert code == 0
    assert out.count("(added to a sweep that had results)") == 1
    assert (tmp_path / "s/mixed/seed-0/generation_000/manifest.json").read_bytes() == before
    described = json.loads((tmp_path / "s/sweep.json").read_text())
    assert [each["arms"] for each in described["added_contrasts"]] == [["half", "replace"]]

    # What is there cannot be taken away.
    write(tmp_path, tree)
    code, _, err = lab("sweep", "tiny.yaml", "--out", "s")
    assert code == 2
    assert "holds a sweep with other arms" in err


def test_contrasts_that_a_sweep_has_cannot_be_taken_away(tmp_path):
    asked = {"metric": "variance", "arms": ["mixed", "replace"], "generation": 0}
    Sweep(load_sweep(write(tmp_path, SWEEP)), tmp_path / "s").begin()
    more = load_sweep(write(tmp_path, {**SWEEP, "contrasts": [asked, {**asked, "metric": "fid"}]}))
    with pytest.raises(InputError, match="other contrasts"):
        Sweep(more, tmp_path / "s")


def test_what_is_left_of_a_sweep_is_estimated(tmp_path, monkeypatch):
    config = load_sweep(write(tmp_path, {**SWEEP, "generations": 3}))
    at_once: Any = {"workers": 1, "threads": 1}
    assert estimate.expected_cost(config, tmp_path, "x", **at_once) is None, "it is quickly done"

    probed: list[str] = []

    def probe(experiment, effort):
        probed.append(experiment.config.name)
        return replace(MEASURED, grows=False)

    monkeypatch.setattr(estimate, "WORTH_PROBING", 0)
    monkeypatch.setattr(estimate, "probe", probe)
    cost = estimate.expected_cost(config, tmp_path, "x", **at_once)
    assert cost is not None
    assert len(probed) == 1, "the arms differ in their regimes alone"

    # Each run takes 41.5 s: 10 to prepare, 8 of generation 0's fit. The three arms of a seed share
    # both, and the seeds share what is prepared.
    alone = sum(stage.seconds for stage in of_run(MEASURED, 3, [60] * 3, real=60).stages)
    runs = len(config.arms) * 2
    shared = 10 * (runs - 1) + 8 * (runs - 2)
    assert cost.seconds == pytest.approx(runs * alone - shared)
    assert cost.disk == runs * (3 * 116 + 1050)
    assert cost.memory == 10**9

    # Two at a time take half the time and twice the memory; a run that is finished takes none.
    two = estimate.expected_cost(config, tmp_path, "x", workers=2, threads=1)
    assert two is not None
    assert two.seconds == pytest.approx(cost.seconds / 2)
    assert two.memory == 2 * cost.memory
    monkeypatch.setattr("imglab.store.layout.count_finished", lambda run: 3)
    assert estimate.expected_cost(config, tmp_path, "x", **at_once) is None


def test_the_status_is_printed_as_json(lab, tmp_path):
    write(tmp_path, {**SWEEP, "seeds": [0]})
    code, out, _ = lab("sweep", "tiny.yaml", "--status", "--json", "--out", "s")
    answer = json.loads(out)
    assert (code, answer["finished"], len(answer["runs"])) == (0, 0, 3)
    state = {"name": "replace/seed-0", "finished": 0, "generations": 1, "state": "not begun"}
    assert answer["runs"][0] == state
    assert lab("sweep", "tiny.yaml", "--json", "--out", "s")[0] == 2


def test_the_status_of_a_run_is_read_from_its_log(tmp_path):
    config = load_sweep(write(tmp_path, {**SWEEP, "seeds": [0]}))
    for arm, event in (("replace", "begin"), ("mixed", "stopped"), ("control", "begin")):
        log = tmp_path / arm / "seed-0/events.jsonl"
        log.parent.mkdir(parents=True)
        log.write_text(json.dumps({"event": event}))
    now = log.stat().st_mtime
    busy = Problem("run", "is busy")
    with locks.held(tmp_path / "replace/seed-0" / locks.RUN, busy):
        first, second, third, *_ = status_lines(status(config, tmp_path, now))
    assert first.endswith("running")
    assert second.endswith("stopped")
    assert third.endswith("by no process of this machine")
    assert status(config, tmp_path, now + 3600)[0].state.endswith("nothing written for 60 min")


@pytest.mark.slow
def test_workers_that_do_not_stop_are_ended_within_two_seconds(tmp_path):
    begun = tmp_path / "begun"
    interrupted = 0.0

    def watch():
        nonlocal interrupted
        if begun.exists():
            interrupted = time.monotonic()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs({"x": Job(stubborn.sleep, (begun,))}, pool.Pool(1), watch)
    assert time.monotonic() - interrupted < pool.GRACE + 0.5
