"""Writing files: what a folder that cannot be synced changes, and what a failing disk does."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from imglab.store import files, hashes, temporaries


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


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        {"a": {}, "b": [[], ()], "": [""]},
        {"text": 'é\n"\\\x00', "numbers": [0, -1, 2.5, -0.0, 1e300, 5e-324, 10**30]},
        {"others": [None, True, False], 1: 2, None: 3},
    ],
)
def test_values_are_encoded_as_the_library_does(value):
    expected = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    assert files.json_bytes(value) == expected.encode()

    signature = hashlib.sha256(expected.encode()).hexdigest()
    if isinstance(value, dict):
        signed = files.signed_bytes(value)
        assert signed == files.json_bytes({**value, "self": signature})


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_are_refused(number):
    with pytest.raises(ValueError, match="JSON compliant"):
        files.json_bytes({"a": [number]})


class TestOpenList:
    def write(self, listing, name):
        with listing.written(name):
            files.write_bytes(listing.folder / name, name.encode())

    def test_quick_changes_are_listed_together(self, tmp_path):
        listing = hashes.OpenList(tmp_path)
        self.write(listing, "first")
        self.write(listing, "second")
        assert set(listing.hashes) == {"first", "second"}
        assert set(hashes.listed(tmp_path)) == {"first"}

        listing.flush()
        assert hashes.listed(tmp_path) == listing.hashes
        assert not list(hashes.faults(tmp_path))

    def test_slow_ones_are_listed_at_once(self, tmp_path, monkeypatch):
        monkeypatch.setattr(hashes, "QUICK", 0)
        listing = hashes.OpenList(tmp_path)
        self.write(listing, "first")
        self.write(listing, "second")
        assert set(hashes.listed(tmp_path)) == {"first", "second"}

    def test_what_is_written_again_is_off_the_list_meanwhile(self, tmp_path):
        listing = hashes.OpenList(tmp_path)
        self.write(listing, "first")
        with listing.written("first"):
            assert not hashes.listed(tmp_path)
        assert set(hashes.listed(tmp_path)) == {"first"}
