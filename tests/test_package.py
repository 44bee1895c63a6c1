"""What is built for others to install: it holds all that the commands need, and nothing more."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """What git keeps of the working tree, in a folder of its own: building leaves files behind."""
    folder = tmp_path_factory.mktemp("source")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True)
    if done.returncode:
        pytest.skip("the package can be built only from a checkout")
    names = [name for name in done.stdout.decode().split("\0") if name]
    names = [name for name in names if os.path.lexists(ROOT / name)]
    packed = folder.with_suffix(".tar")
    subprocess.run(["tar", "cf", packed, *names], cwd=ROOT, check=True)
    subprocess.run(["tar", "xf", packed], cwd=folder, check=True)
    return folder


def build(source: Path, target: Path, kind: str) -> Path:
    """Build a wheel or an sdist as pip does, with the setuptools at hand; return its file."""
    code = "import sys; from setuptools import build_meta; "
    code += f"print(build_meta.build_{kind}(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(target)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target / done.stdout.splitlines()[-1]


def shipped(root: Path, folder: str) -> set[str]:
    paths = (root / folder).rglob("*.yaml")
    return {path.relative_to(root / folder).as_posix() for path in paths}


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory) -> Path:
    return build(source, tmp_path_factory.mktemp("wheel"), "wheel")


def test_a_wheel_holds_presets_page_and_claims(wheel):
    assert wheel.name.startswith("imglab_collapse-")
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    presets = {f"imglab/presets/{name}" for name in shipped(ROOT, "configs")}
    claims = {f"imglab/studies/claims/{name}" for name in shipped(ROOT, "imglab/studies/claims")}
    assert presets | claims | {"imglab/py.typed", "imglab/report/page/page.js"} <= names
    assert not [name for name in names if name.startswith(("tests/", "scripts/", "configs/"))]


def test_what_is_installed_runs_in_an_empty_folder(wheel, tmp_path):
    """Without its dependencies, which are those of this environment."""
    site, folder = tmp_path / "site", tmp_path / "empty"
    folder.mkdir()
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site, wheel]
    subprocess.run(install, check=True)

    environment = {**os.environ, "PYTHONPATH": str(site)}
    where = [sys.executable, "-c", "import imglab; print(imglab.__file__)"]
    done = subprocess.run(where, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.stdout.startswith(str(site))

    command = [sys.executable, "-m", "imglab", "run", "smoke/gaussian"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (folder / "runs/smoke_gaussian/generation_002/manifest.json").is_file()


def test_a_wheel_built_from_the_sdist_is_the_same(source, wheel, tmp_path):
    """Whoever builds from what is published gets what we build."""
    sdist = build(source, tmp_path, "sdist")
    with tarfile.open(sdist) as file:
        file.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    again = build(unpacked, tmp_path, "wheel")
    assert members(again) == members(wheel)


def members(wheel: Path) -> dict[str, int]:
    """Return the checksum of each file of a wheel but its list of checksums."""
    with zipfile.ZipFile(wheel) as file:
        infos = file.infolist()
    return {info.filename: info.CRC for info in infos if not info.filename.endswith("RECORD")}
