"""What the command line imports, and what it asks of torch before."""

import gc
import os
import subprocess
import sys

import pytest

from imglab.cli.imports import SPIN_COUNT, WAIT_POLICY, importing, sleep_between_tasks
from tests.conftest import ROOT

HEAVY = {"torchmetrics", "transformers", "torchvision", "diffusers", "sklearn", "pandas"}
CHECKED = """
import sys
from pathlib import Path

from imglab.cli.app import app

heavy = {heavy}
app(["validate", "configs/image_digits.yaml"], standalone_mode=False)
unneeded = heavy | {{"accelerate", "matplotlib", "scipy"}}
assert not unneeded & set(sys.modules), unneeded & set(sys.modules)

from imglab.running.run import Run

run = Run.from_file("configs/smoke/gaussian.yaml", Path({out!r}), ["generations=1"])
assert len(list(run.generations())) == 1
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""


@pytest.mark.slow
def test_a_check_and_a_solvable_chain_import_only_what_they_use(tmp_path):
    code = CHECKED.format(heavy=HEAVY, out=str(tmp_path / "run"))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "configs/image_digits.yaml: valid"


def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.setenv(SPIN_COUNT, "")
    monkeypatch.delenv(SPIN_COUNT)
    monkeypatch.setenv(WAIT_POLICY, "ACTIVE")
    sleep_between_tasks()
    assert os.environ[WAIT_POLICY] == "ACTIVE"
    assert SPIN_COUNT not in os.environ

    monkeypatch.delenv(WAIT_POLICY)
    sleep_between_tasks()
    assert os.environ[WAIT_POLICY] == "PASSIVE"
    assert os.environ[SPIN_COUNT] == "10000"


def test_the_package_itself_sets_no_variable():
    code = "import os; before = dict(os.environ); import imglab, imglab.cli.app"
    code += "; assert dict(os.environ) == before"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_collector_works_again_after_an_import():
    with importing():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.unfreeze()
