"""What a week brings: disks that fill or fail, folders that vanish, clocks that go back, chains
that go on and on.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import yaml
from safetensors import SafetensorError

from imglab.run.run import Run
from imglab.store import files, stage_files
from imglab.store.faults import find_faults
from tests.conftest import ROOT
from tests.test_run_directory import TINY_GAUSSIAN, TINY_IMAGE, finish, hashes, write


@pytest.fixture
def small_disk(tmp_path):
    """A disk of its own; returns what sets its size."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "tree", [TINY_GAUSSIAN, {**TINY_IMAGE, "checkpoint_every": 32}], ids=["gaussian", "image"]
)
def test_a_disk_that_fills_at_any_point_costs_nothing(lab, tmp_path, small_disk, tree):
    config = write(tmp_path, tree)
    assert lab("run", config, "--out", tmp_path / "whole")[0] == 0
    size, out, stops = 16, tmp_path / "disk" / "run", 0
    while True:
        small_disk(f"{size}k")
        code, _, err = lab("run", config, "--out", out)
        if code == 0:
            break
        assert (code, "the disk is full" in err) == (3, True), err
        assert list(find_faults(out)) == [] or not (out / "config.yaml").exists()
        stops, size = stops + 1, size + (16 if tree is TINY_GAUSSIAN else 96)
    assert stops > 5
    assert hashes(out) == hashes(tmp_path / "whole")


@pytest.mark.parametrize(
    ("number", "told"),
    [(errno.EIO, "Input/output error"), (errno.ESTALE, "Stale file handle"), (errno.EBUSY, "busy")],
)
@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_file_system_that_fails_stops_the_run_resumably(
    lab, tmp_path, monkeypatch, number, told, call
):
    config, calls = write(tmp_path, TINY_GAUSSIAN), itertools.count()
    honest = getattr(os, call)

    def failing(*arguments):
        if next(calls) == 21:
            raise OSError(number, os.strerror(number), str(arguments[0]))
        return honest(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        code, _, err = lab("run", config, "--out", "run")
    assert (code, told in err, "run the same command again" in err) == (3, True, True), err
    assert lab("run", config, "--out", "run")[0] == 0
    finish(config, tmp_path / "whole")
    generations = {
        name: sign for name, sign in hashes(tmp_path / "whole").items() if "generation" in name
    }
    assert generations.items() <= hashes(tmp_path / "run").items()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EIO, errno.ESTALE])
def test_a_disk_that_fails_inside_a_library_does_too(lab, tmp_path, monkeypatch, number):
    config = write(tmp_path, TINY_GAUSSIAN)

    def failing(*_):
        raise SafetensorError(
            f"Error while serializing: I/O error: {os.strerror(number)} (os error {number})"
        )

    with monkeypatch.context() as patch:
        patch.setattr(stage_files, "save_file", failing)
        code, _, err = lab("run", config, "--out", "run")
    assert (code, "run the same command again" in err) == (3, True), err
    assert lab("run", config, "--out", "run")[0] == 0


def test_the_name_of_a_new_generation_is_synced_before_its_manifest(tmp_path, monkeypatch):
    synced, honest = [], files.sync_folder

    def sync_folder(folder):
        synced.append(folder)
        honest(folder)

    monkeypatch.setattr(files, "sync_folder", sync_folder)
    finish(write(tmp_path, TINY_GAUSSIAN), tmp_path / "run")
    own = [
        path.name
        for path in synced
        if path in (tmp_path / "run", tmp_path / "run" / "generation_001")
    ]
    first = own.index("generation_001")
    assert own[first - 1] == "run"


@pytest.mark.parametrize("what", ["run", "run/generation_000", "run/shared"])
def test_a_folder_that_is_removed_under_the_run_is_named(lab, tmp_path, monkeypatch, what):
    config = write(tmp_path, {**TINY_GAUSSIAN, "regime": "accumulate"})
    honest, calls = files.write_bytes, itertools.count()

    def removing(path, content):
        honest(path, content)
        if path.name == "manifest.json" and next(calls) == 1:
            shutil.rmtree(tmp_path / what)

    monkeypatch.setattr(files, "write_bytes", removing)
    code, _, err = lab("run", config, "--out", tmp_path / "run")
    assert code in (2, 0), err
    assert "Traceback" not in err
    if code == 2:
        assert what in err


def test_a_read_only_directory_is_refused_and_left_as_it_was(lab, tmp_path, monkeypatch):
    """Also where root may write anything: the system says no to the first file."""
    config, out = write(tmp_path, TINY_GAUSSIAN), tmp_path / "run"
    finish(config, out)
    before = hashes(out)

    def refuse(source, target, *_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(target))

    monkeypatch.setattr(os, "replace", refuse)
    code, _, err = lab("run", config, "--out", out, "--set", "generations=4")
    assert code == 2
    assert "Read-only file system" in err
    assert {name: sign for name, sign in hashes(out).items() if ".tmp-" not in name} == before


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
    code = "import sys; from imglab.run.run import Run\n"
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


GENERATIONS = 200
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
def test_eight_arms_of_two_hundred_generations_leave_nothing_behind_and_grow_no_slower(tmp_path):
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


def test_nothing_is_left_in_the_temporary_folder(lab, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    assert lab("run", write(tmp_path, TINY_GAUSSIAN), "--out", tmp_path / "run")[0] == 0
    assert list(scratch.iterdir()) == []
    assert not list(Path(tmp_path / "run").rglob(".tmp-*"))
