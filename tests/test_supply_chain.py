"""What the lab is made of: the versions that a run records, and known vulnerabilities of what it
asks for.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

import pytest
import yaml

from imglab.running.environment import PACKAGES
from imglab.version import __version__
from tests.conftest import ROOT
from tests.tiny_chains import TINY_GAUSSIAN, finish, write

AT_RUN_TIME = ("hub", "lora", "ray")
"""The optional parts that a run uses; the others are for tests and for developing."""


def asked_for(*extras: str) -> set[str]:
    """Names of the packages that pyproject.toml itself asks for, with these optional parts."""
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 cannot read pyproject.toml")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [
        *project["dependencies"],
        *(line for extra in extras for line in project["optional-dependencies"][extra]),
    ]
    names = {re.split(r"[^A-Za-z0-9._-]", line)[0] for line in lines}
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names} - {"imglab-collapse"}


def installed(names: set[str]) -> dict[str, str]:
    found = {}
    for name in sorted(names):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def with_a_fix(audit: str) -> list[str]:
    """Name what an audit found that a newer version mends; a package that it does not know is no
    finding.
    """
    return [
        f"{found['name']} {found['version']}: {flaw['id']}, "
        f"mended in {', '.join(flaw['fix_versions'])}"
        for found in json.loads(audit)["dependencies"]
        for flaw in found.get("vulns", [])
        if flaw["fix_versions"]
    ]


def unknown(audit: str) -> list[str]:
    return [found["name"] for found in json.loads(audit)["dependencies"] if "skip_reason" in found]


def test_a_run_records_the_version_of_every_package_that_the_lab_asks_for(tmp_path):
    names = asked_for(*AT_RUN_TIME)
    assert set(PACKAGES) == names
    finish(write(tmp_path, TINY_GAUSSIAN), tmp_path / "run", ["generations=1"])
    recorded = json.loads((tmp_path / "run" / "environment.json").read_text())["packages"]
    assert recorded == {"imglab": __version__, **installed(names)}


def test_an_audit_names_only_what_a_newer_version_mends():
    flaws = [
        {"id": "PYSEC-1", "fix_versions": ["1.1", "2.0"]},
        {"id": "PYSEC-2", "fix_versions": []},
    ]
    audited = [
        {"name": "numpy", "version": "1.0", "vulns": flaws},
        {"name": "scipy", "version": "1.0", "vulns": []},
        {"name": "torch", "skip_reason": "not found"},
    ]
    audit = json.dumps({"dependencies": audited, "fixes": []})
    assert with_a_fix(audit) == ["numpy 1.0: PYSEC-1, mended in 1.1, 2.0"]
    assert unknown(audit) == ["torch"]


@pytest.mark.slow
def test_no_package_that_the_lab_asks_for_has_a_known_vulnerability_with_a_fix(tmp_path):
    if importlib.util.find_spec("pip_audit") is None:
        pytest.skip("pip-audit is not installed: pip install -e '.[dev]'")
    pins = installed(asked_for(*AT_RUN_TIME, "browser", "test"))
    lines = [
        f"{name}=={found.partition('+')[0]}\n" for name, found in pins.items()
    ]  # an index has no local versions
    (tmp_path / "requirements.txt").write_text("".join(lines))
    how = [
        "--disable-pip",
        "--no-deps",
        "--format",
        "json",
        "--progress-spinner",
        "off",
        "--timeout",
        "60",
    ]
    command = [sys.executable, "-m", "pip_audit", *how, "-r", str(tmp_path / "requirements.txt")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if not done.stdout.startswith("{"):
        pytest.skip(
            f"the advisories cannot be reached: {(done.stderr.splitlines() or ['no answer'])[-1]}"
        )
    assert not (found := with_a_fix(done.stdout)), "\n".join(found)
    if missing := unknown(done.stdout):
        pytest.skip(
            f"the index that was asked has no advisories on {len(missing)} of {len(pins)}: "
            f"{missing}"
        )


def test_all_files_name_one_version():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 cannot read pyproject.toml")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["version"] == citation["version"] == __version__
