"""What runs elsewhere: the image, the jobs of a cluster, the forms of issues."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml

from tests.conftest import ROOT


def test_the_image_copies_what_is_there_and_what_a_wheel_needs():
    text = (ROOT / "Dockerfile").read_text()
    copied = [
        source for line in re.findall(r"^COPY (.+) \S+$", text, re.M) for source in line.split()
    ]
    assert {"pyproject.toml", "README.md", "LICENSE", "imglab", "configs"} == set(copied)
    assert all((ROOT / source).exists() for source in copied)
    let_through = (ROOT / ".dockerignore").read_text()
    assert all(f"!{source}\n" in let_through for source in copied)


@pytest.mark.parametrize(
    "name", ["slurm_sweep.sh", "at_size.sh", "test_oldest.sh", "test_pythons.sh"]
)
def test_a_script_of_the_shell_can_be_read(name):
    assert subprocess.run(["bash", "-n", ROOT / "scripts" / name]).returncode == 0


def test_a_job_of_an_array_runs_its_share(tmp_path):
    """`imglab` itself is a program here that says how it was called."""
    (tmp_path / "imglab").write_text('#!/bin/bash\necho "$@" $OMP_NUM_THREADS\n')
    (tmp_path / "imglab").chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "SLURM_ARRAY_TASK_ID": "3",
        "SLURM_ARRAY_TASK_MIN": "1",
        "SLURM_ARRAY_TASK_COUNT": "8",
        "SLURM_CPUS_PER_TASK": "4",
    }
    command = ["bash", str(ROOT / "scripts/slurm_sweep.sh"), "sweep.yaml", "runs/sweep"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "sweep sweep.yaml --out runs/sweep --only 3/8 4\n"


def test_a_form_of_an_issue_has_what_github_asks_for():
    forms = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
    assert len(forms) == 3
    for path in forms:
        form = yaml.safe_load(path.read_text())
        if path.name == "config.yml":
            continue
        assert {"name", "description", "body"} <= set(form)
        names = [field["id"] for field in form["body"]]
        assert len(names) == len(set(names))
