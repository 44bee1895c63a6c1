"""Wrong input at the command line: one message for one cause, and exit code 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_chains import TINY_GAUSSIAN, TINY_IMAGE, write


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "none.yaml"], "none.yaml: there is no such file"),
        (
            ["run", "tiny.yaml", "--set", "generations=0"],
            "tiny.yaml: generations: must be greater than or equal to 1",
        ),
        (
            ["run", "tiny.yaml", "--set", "modality.n_trian=3"],
            "modality.n_trian: unknown key (did you mean 'n_train'?)",
        ),
        (
            ["run", "tiny.yaml", "--set", "samples=4"],
            "measure.density_coverage_k: 5 neighbours need more than 5 samples",
        ),
        (
            ["run", "tiny.yaml", "--set", "measure.precision_recall_k=30"],
            "precision_recall_k: 30 neighbours need",
        ),
        (
            [
                "run",
                "tiny.yaml",
                "--set",
                "regime.real=fixed",
                "--set",
                "regime.real_fraction=1.0",
                "--set",
                "samples=900",
            ],
            "regime.real_fraction: asks for 900 real samples, but there are only 30",
        ),
        (["run", "tiny.yaml", "--set", "base=nowhere"], "base: there is no folder 'nowhere'"),
        (
            ["run", "tiny.yaml", "--set", "regime.kind=my_lab:regime"],
            "cannot import 'my_lab:regime'",
        ),
        (["run", "tiny.yaml", "--out", "tiny.yaml"], "is a file, not a directory"),
        (["run", "tiny.yaml", "--out", "."], "not empty and not a run directory"),
        (["metrics", "."], "is not a run directory"),
        (
            ["validate", "tiny.yaml", "--set", "seed=-1"],
            "seed: must be greater than or equal to 0",
        ),
        (
            ["run", "image.yaml", "--set", "modality.source={kind: folder, path: pictures}"],
            "modality.source.path: there is no folder 'pictures'",
        ),
        (
            ["run", "image.yaml", "--set", "regime={kind: mix, real_fraction: 0.5, real: fresh}"],
            "regime.real: asks for 12 fresh real samples in all, but 0 are set aside "
            "(raise modality.n_fresh",
        ),
        (
            ["run", "image.yaml", "--set", "regime={kind: fresh_data, fresh: 9}"],
            "regime.fresh: asks for 9 fresh real samples in all, but 0 are set aside",
        ),
        (
            ["run", "image.yaml", "--set", "regime={kind: synthetic_augmentation, ratio: 2}"],
            "regime.ratio: asks for 80 synthetic samples, but a generation leaves only 24 "
            "(raise samples to 80, or lower it)",
        ),
        (
            ["run", "image.yaml", "--set", "regime={kind: mix, real_fraction: [0.5, 1.5]}"],
            "regime.real_fraction.1: must be less than or equal to 1",
        ),
        (["run", "tiny.yaml", "--out", "x" * 300], "File name too long"),
        (["run", "tiny.yaml", "--set", "name=.."], "tiny.yaml: name: must be a file name"),
        (["run", "tiny.yaml", "--set", "seed=" + "9" * 5000], "is not usable YAML"),
        (
            ["run", "image.yaml", "--set", "modality.classes=[3, 5]"],
            "modality.classes.0: must be a valid string",
        ),
        (
            ["run", "image.yaml", "--set", "modality.classes=['3', '5', '3']"],
            "modality.classes: names a class twice",
        ),
        (
            ["run", "image.yaml", "--set", "model.channels.0=8"],
            "channels is a list (give it whole: channels=[...])",
        ),
        (["run", "image.yaml", "--set", "regime=5"], "regime.kind: this key is missing"),
        (
            ["run", "image.yaml", "--set", "model.channels=[8, 8, 8, 8, 8]"],
            "5 levels halve the image 4 times",
        ),
        (
            ["run", "image.yaml", "--set", "model.kind=gaussian", "--set", "model.channels=[8]"],
            "model.channels: unknown key",
        ),
    ],
)
def test_wrong_input_is_one_message_and_exit_2(lab, tmp_path, arguments, message):
    write(tmp_path, TINY_GAUSSIAN)
    write(tmp_path, TINY_IMAGE, "image")
    before = sorted(tmp_path.rglob("*"))
    code, out, err = lab(*arguments)
    assert code == 2, err
    assert message in err
    assert "Traceback" not in out + err
    assert sorted(tmp_path.rglob("*")) == before, "nothing is written for a wrong input"


def test_all_errors_of_the_data_come_at_once(lab, tmp_path):
    write(tmp_path, TINY_IMAGE)
    changes = [
        "measure.precision_recall_k=30",
        "base=nowhere",
        "model.class_conditional=true",
        "regime.kind=none:none",
    ]
    _, _, err = lab("run", "tiny.yaml", *[part for change in changes for part in ("--set", change)])
    for key in ("measure.precision_recall_k", "base", "regime.kind"):
        assert f"error: tiny.yaml: {key}" in err, err


def test_a_wrong_key_is_told_before_torch_is_imported(tmp_path):
    config = write(tmp_path, {**TINY_GAUSSIAN, "sede": 1})
    code = (
        f"import sys; sys.argv = ['imglab', 'run', {str(config)!r}]\nfrom imglab.cli import main\n"
    )
    code += "try: main()\nexcept SystemExit as end: assert end.code == 2\n"
    code += "assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, "did you mean 'seed'?" in done.stderr) == (0, True), done.stderr


def test_damaged_metrics_are_named(lab, tmp_path):
    lab("run", write(tmp_path, TINY_GAUSSIAN))
    path = tmp_path / "runs/tiny/generation_001/metrics.json"
    for content in ("{}", "[]", "3", "{"):
        path.write_text(content)
        code, _, err = lab("metrics", "runs/tiny")
        assert code == 2
        assert "generation_001/metrics.json" in err
        assert "the file is damaged" in err


def test_unwritable_directory(lab, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", str(tmp_path / "runs"))

    config = write(tmp_path, TINY_GAUSSIAN)
    monkeypatch.setattr(Path, "mkdir", refuse)
    code, _, err = lab("run", config)
    assert code == 2
    assert "Permission denied" in err
