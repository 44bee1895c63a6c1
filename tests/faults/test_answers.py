"""Errors of the system at operations of commands: each ends in the lab's own words."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError

import pytest

from imglab.errors import InputError, Stopped
from imglab.failures import NAMES, explained, system_failure
from tests.conftest import ROOT


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_error_of_the_system_is_explained(number):
    error = OSError(number, os.strerror(number), "run/file")
    assert isinstance(explained(error), InputError | Stopped)
    assert (system_failure(error) is None) == (error.errno in NAMES)


def test_a_wrapped_error_is_the_system_s():
    wrapped = ValueError("Error while deserializing: I/O error (os error 5)")
    assert system_failure(wrapped) == "Input/output error"
    assert system_failure(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    assert system_failure(ValueError("invalid header")) is None
    assert explained(ValueError("a mistake of the code")) is None


def test_a_file_that_a_library_misses_without_a_number_was_moved():
    """As safetensors says it, of a run that was moved while its pictures were drawn."""
    missing = FileNotFoundError("No such file or directory: r/generation_002/shown.safetensors")
    answer = explained(missing, Path("r"))
    assert isinstance(answer, InputError)
    assert "r: was removed, or moved, while it was in use" in str(answer)


@pytest.mark.parametrize("reason", [socket.gaierror(-2, "unknown"), OSError(111, "refused")])
def test_a_network_that_is_not_reached_is_no_failure_of_what_is_read(reason):
    error = RuntimeError("Error downloading")
    error.__cause__ = URLError(reason)
    error.__cause__.__context__ = reason
    assert system_failure(error) is None
    assert system_failure(socket.gaierror(-2, "unknown")) is None


def test_the_panic_of_a_library_is_an_input_s():
    panic = type("PanicException", (BaseException,), {})
    assert isinstance(explained(panic("no entry found for key")), InputError)


@pytest.mark.slow
def test_a_part_of_the_injected_errors():
    """The commit chooses the part; `python scripts/inject_errors.py` tries all."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=ROOT, check=False
    ).stdout
    seed = str(int(commit[:8] or "0", 16))
    part = ["--errors", "16", "--transient", "4", "--seed", seed]
    command = [sys.executable, "scripts/inject_errors.py", *part]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
