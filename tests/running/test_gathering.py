"""What passes between processes: the same rows as one process has, at the speed of raw bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from imglab import distributed
from imglab.store.disk import DiskStore
from tests.conftest import ROOT
from tests.running.test_processes import LAUNCHERS

RENDEZVOUS = ["--master-port", "0", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]


def test_one_process_joins_its_rows():
    parts = [torch.zeros(2, 3), torch.ones(1, 3)]
    rows = distributed.gather_rows(parts)
    assert rows is not None
    assert rows.tolist() == [[0, 0, 0], [0, 0, 0], [1, 1, 1]]
    assert not parts
    assert distributed.gather_rows([]) is None


def test_another_process_leaves_the_file_of_rows_alone(tmp_path):
    DiskStore(tmp_path, load_model=lambda path: pytest.fail("nothing is loaded"))
    sweep = "import sys; from imglab.store.files import *; remove_temporaries(Path(sys.argv[1]))"
    with distributed._file_of_rows() as path:
        subprocess.run([sys.executable, "-c", sweep, str(tmp_path)], check=True, cwd=ROOT)
        assert path.parent == tmp_path
        assert path.exists()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.alone
def test_two_processes_gather_as_fast_as_raw_bytes_and_keep_their_share(tmp_path):
    command = [*LAUNCHERS["torchrun"], *RENDEZVOUS, "-m", "tests.running.gathering"]
    done = subprocess.run(
        [sys.executable, *command, str(tmp_path), "64"],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    reports = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2)]
    for report in reports:
        assert report["ours"] < 2 * report["raw"]
        assert report["grown"] < 0.5 * report["share"], "beyond the share that it came with"
    assert not list(tmp_path.glob(".tmp-*"))
