"""Presets: each config that ships has a name, in any folder; a file of one's own comes first."""

from __future__ import annotations

from pathlib import Path

import pytest

from imglab.config.load import load_config
from imglab.config.presets import find_config, list_presets, preset_names, question_of
from imglab.errors import InputError
from imglab.running.run import Run
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def resolved(name: str) -> str:
    return find_config(Path(name)).resolve().relative_to(ROOT).as_posix()


@pytest.mark.parametrize("name", ["digits", "image_digits", "configs/image_digits.yaml"])
def test_one_preset_has_several_names(name):
    assert resolved(name) == "configs/image_digits.yaml"


def test_every_config_of_the_repository_is_a_preset():
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "configs").rglob("*.yaml")}
    assert {resolved(name) for name in list_presets()} == files
    assert {resolved(name) for name in files} == files


def test_each_tells_its_question():
    assert all(len(question_of(file)) > 20 for file in list_presets().values())


def test_a_file_of_ones_own_comes_first():
    Path("digits").write_text("name: mine")
    assert find_config(Path("digits")) == Path("digits")


def test_a_folder_of_this_name_is_no_config():
    """People keep their images in a folder `digits`."""
    Path("digits").mkdir()
    assert resolved("digits") == "configs/image_digits.yaml"


@pytest.mark.parametrize("name", ["digts", "configs/image_digts.yaml", "image_digts"])
def test_a_mistyped_name_is_told_with_the_nearest(name):
    with pytest.raises(InputError, match="did you mean 'digits'"):
        find_config(Path(name))


def test_a_file_that_is_not_there_is_no_preset():
    """Whoever is in the wrong folder must not run another config than their own."""
    with pytest.raises(InputError, match="there is no such file"):
        load_config(Path("gaussian.yaml"))


def test_a_path_is_told_as_a_path():
    with pytest.raises(InputError, match="there is no such file"):
        load_config(Path("elsewhere/mine.yaml"))


@pytest.mark.parametrize("name", ["../../etc/passwd", "smoke/../gaussian/x", "configs", "x" * 300])
def test_no_name_leaves_the_folder_of_presets(name):
    with pytest.raises(InputError):
        load_config(Path(name))


def test_python_takes_names_too():
    assert Run.from_file("smoke/gaussian").experiment.config.name == "smoke_gaussian"


def test_the_base_of_a_decomposition_lies_beside_it(lab):
    code, out, _ = lab("validate", "decompose_digits")
    assert (code, out.splitlines()[0]) == (0, "decompose_digits: valid")


def test_shown_presets_can_be_changed_and_run(lab):
    code, out, _ = lab("show", "smoke/gaussian")
    assert code == 0
    Path("mine.yaml").write_text(out.replace("name: smoke_gaussian", "name: mine"))
    assert Path("mine.yaml").read_text().startswith("# Question")
    assert lab("validate", "mine.yaml")[0] == 0


def test_a_shell_completes_names_and_files():
    Path("digits_of_mine.yaml").write_text("name: mine")
    Path("digits_folder").mkdir()
    expected = {"digits", "digits_8x8", "digits_of_mine.yaml", "digits_folder/"}
    assert set(preset_names("digits")) == expected


def test_the_version(lab):
    code, out, _ = lab("--version")
    assert code == 0
    assert out.startswith("imglab ")
