"""What a week brings: clocks that go back, locks of the dead, and sweeps that are long."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import yaml

from imglab.running.run import Run
from imglab.store.faults import find_faults
from tests.conftest import ROOT
from tests.tiny_chains import TINY_GAUSSIAN, finish, hashes, write


@pytest.mark.slow
def test_a_clock_that_goes_back_changes_nothing(lab, tmp_path, monkeypatch):
    config, clock = write(tmp_path, TINY_GAUSSIAN), itertools.count(2_000_000_000, -3600)
    finish(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: float(next(clock)))
        assert lab("run", config, "--out", tmp_path / "run")[0] == 0
    times = [
        json.loads(line)["time"]
        for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()
    ]
    assert times == sorted(times, reverse=True)
    generations = {
        name: sign for name, sign in hashes(tmp_path / "whole").items() if "generation" in name
    }
    assert generations.items() <= hashes(tmp_path / "run").items()
    assert lab("report", tmp_path / "run")[0] == 0


def test_a_lock_that_a_dead_process_left_is_no_lock(tmp_path):
    config, out = write(tmp_path, TINY_GAUSSIAN), tmp_path / "run"
    code = (
        "import os, sys; from filelock import FileLock; from pathlib import Path;"
        "out = Path(sys.argv[1]); out.mkdir();"
        "FileLock(out / '.lock').acquire(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(out)], check=False).returncode == -9
    assert (out / ".lock").exists()
    assert len(finish(config, out)) == TINY_GAUSSIAN["generations"]


@pytest.mark.slow
def test_the_second_of_two_processes_refuses_and_the_first_goes_on(tmp_path):
    config, out = write(tmp_path, TINY_GAUSSIAN), tmp_path / "run"
    first = Run.from_file(config, out).events()
    next(first)
    code = "import sys; from imglab.running.run import Run\n"
    code += "list(Run.from_file(sys.argv[1], sys.argv[2]).events())"
    told = subprocess.run(
        [sys.executable, "-c", code, str(config), str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "another process is writing this run" in told.stderr
    assert len(list(first)) > 0
    assert list(find_faults(out)) == []


GENERATIONS = 120


ARMS = {
    "replace": {"regime": "replace"},
    "half_real": {"regime": {"kind": "mix", "real_fraction": 0.5}},
    "subsample": {"regime": "accumulate_subsample"},
    "window": {"regime": {"kind": "sliding_window", "window": 3}},
    "verified": {"curate": {"kind": "oracle", "keep": 0.5}},
    "kde": {"model": {"kind": "kde", "bandwidth": 0.2}},
    "mixture": {"model": {"kind": "mixture", "components": 2}},
}
"""And the control, that every sweep has: eight arms."""


@pytest.mark.slow
@pytest.mark.alone
def test_eight_arms_of_many_generations_leave_nothing_behind_and_grow_no_slower(tmp_path):
    tree = {
        "generations": GENERATIONS,
        "seeds": [0],
        "arms": ARMS,
        "contrasts": [],
        "start": "scratch",
        "modality": {"kind": "gaussian", "n_train": 100, "n_test": 50},
        "model": {"kind": "gaussian"},
    }
    config, out, scratch = tmp_path / "soak.yaml", tmp_path / "runs", tmp_path / "scratch"
    config.write_text(yaml.safe_dump(tree))
    scratch.mkdir()
    command = [
        sys.executable,
        "-m",
        "imglab",
        "sweep",
        str(config),
        "--out",
        str(out),
        "--workers",
        "2",
    ]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(scratch)},
    )
    watched, family = psutil.Process(process.pid), set()
    looks: list[tuple[float, int, int]] = []
    while process.poll() is None:
        try:
            workers = [
                child
                for child in watched.children(recursive=True)
                if "spawn_main" in " ".join(child.cmdline())
            ]
            family |= set(workers)
            if len(workers) == 2:
                memory = max(worker.memory_info().rss for worker in workers) / 2**20
                looks.append(
                    (
                        memory,
                        max(worker.num_fds() for worker in workers),
                        len(watched.children(recursive=True)),
                    )
                )
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            pass  # it ended while it was looked at
        time.sleep(0.5)
    assert process.stderr is not None
    assert process.returncode == 0, process.stderr.read()
    process.stderr.close()

    settled = looks[len(looks) // 4 :]
    early, late = settled[: len(settled) // 3], settled[-len(settled) // 3 :]
    typical = [
        [sorted(column)[len(column) // 2] for column in zip(*part, strict=True)]
        for part in (early, late)
    ]
    assert typical[1][0] <= 1.05 * typical[0][0], (
        f"memory in MB, open files, processes, early and late: {typical}"
    )
    assert typical[1][1] <= typical[0][1] + 2
    assert typical[1][2] <= typical[0][2]
    assert not [
        child for child in family if child.is_running() and child.status() != psutil.STATUS_ZOMBIE
    ]
    assert list(scratch.iterdir()) == []
    assert not list(out.rglob(".tmp-*"))
    for log in out.glob("*/seed-0/events.jsonl"):
        ends = [
            event["time"]
            for event in map(json.loads, log.read_text().splitlines())
            if event.get("stage") == "metrics"
        ]
        assert len(ends) == GENERATIONS
        spans = [after - before for before, after in itertools.pairwise(ends)]
        best = [
            min(part) for part in (spans[20:80], spans[-60:])
        ]  # other work on the machine only ever adds
        assert best[1] <= 2 * best[0], f"{log.parent.parent.name}: seconds of a generation, {best}"


@pytest.mark.slow
def test_nothing_is_left_in_the_temporary_folder(lab, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    assert lab("run", write(tmp_path, TINY_GAUSSIAN), "--out", tmp_path / "run")[0] == 0
    assert list(scratch.iterdir()) == []
    assert not list(Path(tmp_path / "run").rglob(".tmp-*"))
