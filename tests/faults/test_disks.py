"""Disks that fill or fail, folders that vanish or may not be written."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import subprocess

import pytest
from safetensors import SafetensorError

from imglab.store import files, stage_files
from imglab.store.faults import find_faults
from tests.tiny_chains import TINY_GAUSSIAN, TINY_IMAGE, finish, hashes, write

SLOW = pytest.mark.slow

REFUSED = (errno.EFBIG, errno.EIO, errno.ESTALE)


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
    [
        (errno.EIO, "Input/output error"),
        pytest.param(errno.ESTALE, "Stale file handle", marks=SLOW),
        pytest.param(errno.EBUSY, "busy", marks=SLOW),
    ],
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


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, *(pytest.param(each, marks=SLOW) for each in REFUSED)]
)
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
