"""Writing files: what a folder that cannot be synced changes, and what a failing disk does."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from imglab.store import files, temporaries


def refuse_folders(monkeypatch, number):
    """Let `os.fsync` fail for folders alone, as some file systems of networks do."""
    honest = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        honest(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EACCES])
def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path, monkeypatch, number):
    refuse_folders(monkeypatch, number)
    files.write_bytes(tmp_path / "file", b"whole")
    files.write_atomically(tmp_path / "folder", lambda path: path.mkdir())
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert (tmp_path / "folder").is_dir()


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_disk_that_fails_while_a_folder_is_synced_is_an_error(tmp_path, monkeypatch, number):
    refuse_folders(monkeypatch, number)
    with pytest.raises(OSError, match=os.strerror(number)):
        files.write_bytes(tmp_path / "file", b"whole")


def test_a_file_that_cannot_be_synced_is_an_error(tmp_path, monkeypatch):
    def fsync(descriptor):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        files.write_bytes(tmp_path / "file", b"whole")


@pytest.mark.parametrize(("mask", "mode"), [(0o002, 0o664), (0o022, 0o644), (0o077, 0o600)])
def test_files_have_the_mode_that_the_umask_gives(tmp_path, mask, mode):
    def closed(folder):
        folder.mkdir()
        (folder / "inner").touch(0o600)

    before = os.umask(mask)
    try:
        files.write_atomically(tmp_path / "folder", closed)
        files.write_atomically(tmp_path / "file", lambda path: path.touch(0o600))
        files.write_bytes(tmp_path / "plain", b"")
    finally:
        os.umask(before)
    paths = [tmp_path / name for name in ("folder/inner", "file", "plain")]
    assert {path.stat().st_mode & 0o777 for path in paths} == {mode}


def test_what_the_library_was_writing_is_swept_up_in_a_folder_of_the_lab(tmp_path):
    for name in (".tmpy39hMi", ".tmp", ".tmpfile.txt"):
        (tmp_path / name).touch()
    files.remove_temporaries(tmp_path, of="fork")
    assert (tmp_path / ".tmpy39hMi").exists()

    files.remove_temporaries(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".tmp", ".tmpfile.txt"}


def test_beside_a_new_directory_only_its_own_leftovers_are_removed(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    ours = temporaries.new_temporary(tmp_path / "fork").name
    temporaries.forget(tmp_path / ours)
    host, _, rest = ours.removeprefix(temporaries.TEMPORARY).split("-", 2)
    left = f".tmp-{host}-{gone.pid}-{rest}"
    others = [
        ".tmp-thesis",
        ".tmp-fork",
        ".tmp-my-fork",
        left.replace("fork", "another-fork"),
        f".tmp-{host}-{os.getppid()}-{rest}",
        f".tmp-{'0' * 6}-{gone.pid}-{rest}",
    ]
    for name in [left, *others]:
        (tmp_path / name).mkdir()
    files.remove_temporaries(tmp_path, of="fork")
    assert {path.name for path in tmp_path.iterdir()} == set(others)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_a_machine_of_the_same_name_is_another_one(monkeypatch):
    first = temporaries._system()
    assert first == temporaries._system()
    monkeypatch.setattr(Path, "read_text", lambda self, encoding: "another boot")
    assert temporaries._system() != first
