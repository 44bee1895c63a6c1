"""The package that `imglab new --plugin` writes: its own tests pass, and nothing is overwritten."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from imglab.errors import InputError
from imglab.running.plugin import write_plugin
from tests.conftest import ROOT


def test_its_entry_points_name_what_it_holds(tmp_path):
    write_plugin("my_waits", tmp_path / "package")
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 cannot read pyproject.toml")
    project = tomllib.loads((tmp_path / "package/pyproject.toml").read_text())["project"]
    code = (tmp_path / "package/my_waits.py").read_text()
    for points in project["entry-points"].values():
        module, _, name = points["my_waits"].partition(":")
        assert module == "my_waits"
        assert f"class {name}(" in code or f"def {name}(" in code


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("json", "there is a module 'json' already"),
        ("My-Data", "'My-Data' cannot be the name of a module"),
        ("class", "'class' cannot be the name of a module"),
    ],
)
def test_names_that_no_package_can_have(name, what, tmp_path):
    with pytest.raises(InputError, match=what):
        write_plugin(name, tmp_path / "package")
    assert not (tmp_path / "package").exists()


def test_nothing_is_overwritten(lab, tmp_path):
    (tmp_path / "imglab_waits").mkdir()
    code, _, err = lab("new", "--plugin", "waits")
    assert code == 2
    assert "imglab_waits: exists (choose another --out, or another name)" in err


@pytest.mark.slow
def test_its_own_tests_pass(tmp_path):
    folder = tmp_path / "package"
    write_plugin("my_waits", folder)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{folder}"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
