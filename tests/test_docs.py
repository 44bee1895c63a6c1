"""What the documents print works as printed."""

from __future__ import annotations

import json
import re
import sys

import pytest

from imglab.cli import main
from imglab.config.reference import keys_at
from tests.conftest import ROOT


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / name).read_text(), re.S)


@pytest.fixture
def dice(tmp_path, monkeypatch):
    """The folder of somebody who followed docs/extend/modality.md."""
    code, check = blocks("docs/extend/modality.md", "python")
    (tmp_path / "dice.py").write_text(code)
    (tmp_path / "dice.yaml").write_text(blocks("docs/extend/modality.md", "yaml")[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield check
    sys.modules.pop("dice", None)


def test_the_new_modality_keeps_the_contracts(dice):
    assert "check_modality" in dice  # which asserts
    exec(dice, {})


@pytest.mark.slow
def test_the_new_modality_runs_and_its_tail_dies(dice, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["imglab", "run", "dice.yaml"])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code, capsys.readouterr().err
    faces = [
        sum("#" in line for line in (folder / "faces.txt").read_text().splitlines())
        for folder in sorted((tmp_path / "runs/dice").glob("generation_*"))
    ]
    assert len(faces) == 20
    assert faces[-1] < faces[0]
    last = json.loads((tmp_path / "runs/dice/generation_019/metrics.json").read_text())
    assert faces[-1] / 30 <= last["faces_alive"] < last["floor"]["faces_alive"]["mean"]


@pytest.fixture
def anchored(tmp_path, monkeypatch):
    """The folder of somebody who followed docs/extend/regime.md."""
    (code,) = blocks("docs/extend/regime.md", "python")
    (config,) = blocks("docs/extend/regime.md", "yaml")
    (tmp_path / "anchored.py").write_text(code)
    (tmp_path / "anchored.yaml").write_text(config)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("anchored", None)


@pytest.mark.slow
def test_the_new_regime_runs(anchored, lab, tmp_path):
    assert lab("run", "anchored.yaml")[0] == 0
    last = json.loads((tmp_path / "runs/anchored/generation_003/metrics.json").read_text())
    assert last["n_train"] == 520


def test_the_new_regime_is_checked_before_it_runs(anchored, lab, tmp_path):
    code, _, err = lab("run", "anchored.yaml", "--set", "regime.anchors=2000")
    assert code == 2
    assert "regime.anchors: asks for 2000 real samples, but there are only 500" in err
    assert not (tmp_path / "runs").exists()


def test_the_readme_shows_the_two_commands():
    first_screen = (ROOT / "README.md").read_text()[:1500]
    assert "pip install -e . && imglab run configs/image_digits.yaml" in first_screen
    assert "pip install -e '.[test]' && pytest" in first_screen


def test_the_keys_that_documents_ask_about_exist():
    for page in (ROOT / "docs").rglob("*.md"):
        for key in re.findall(r"imglab explain ([a-z][\w.]+)", page.read_text()):
            assert keys_at(key), f"{page.name}: {key}"


def test_links_lead_somewhere():
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
