"""What the documents print works as printed."""

from __future__ import annotations

import re
import sys

import pytest

from imglab.cli import main
from tests.conftest import ROOT


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / name).read_text(), re.S)


@pytest.fixture
def dice(tmp_path, monkeypatch):
    """The folder of somebody who followed docs/add_a_modality.md."""
    code, check = blocks("docs/add_a_modality.md", "python")
    (tmp_path / "dice.py").write_text(code)
    (tmp_path / "dice.yaml").write_text(blocks("docs/add_a_modality.md", "yaml")[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield check
    sys.modules.pop("dice", None)


def test_the_new_modality_keeps_the_contracts(dice):
    assert "check_modality" in dice  # which asserts
    exec(dice, {})


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


def test_the_readme_shows_the_two_commands():
    first_screen = (ROOT / "README.md").read_text()[:1500]
    assert "pip install -e . && imglab run configs/image_digits.yaml" in first_screen
    assert "pip install -e '.[test]' && pytest" in first_screen


def test_links_lead_somewhere():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
