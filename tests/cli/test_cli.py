"""The command line as a user meets it: exit codes, one message for one mistake, tables, scripts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
import yaml
from PIL import Image
from safetensors import SafetensorError

from imglab.store.reading import read_metrics
from tests.tiny_chains import TINY_GAUSSIAN, TINY_IMAGE, write


@pytest.mark.parametrize("tree", [TINY_GAUSSIAN, TINY_IMAGE], ids=["gaussian", "image"])
def test_run_then_metrics(lab, tmp_path, tree):
    config = write(tmp_path, tree)
    code, out, err = lab("run", config)
    assert (code, err) == (0, "")
    run = tmp_path / "runs" / "tiny"
    rows = [line for line in out.splitlines() if line[:1].isdigit()]
    assert len(rows) == tree["generations"]
    assert out.index("floor") < out.index(rows[0])
    picture = {"gaussian": "scatter.png"}.get(tree["modality"]["kind"], "strip.png")
    for name in ("curves.png", picture):
        assert Image.open(run / name).size[0] > 200
    code, out, _ = lab("metrics", run)
    assert code == 0
    assert "floor: real against real at these sizes" in out
    assert "risk rises catastrophically  not decided" in lab("metrics", run, "--profile")[1]
    listed = json.loads(lab("metrics", run, "--json")[1])["runs"][0]
    assert [len(listed["profile"]), listed["profile"][0]["verdict"]] == [8, "not decided"]
    found = listed["generations"]
    assert [row["generation"] for row in found] == list(range(tree["generations"]))
    assert found[0]["extractor"].partition("@")[0] in ("identity", "classifier")


def test_image_metrics_count_classes_and_follow_tone(lab, tmp_path):
    lab("run", write(tmp_path, TINY_IMAGE))
    row = json.loads(lab("metrics", "runs/tiny", "--json")[1])["runs"][0]["generations"][1]
    assert sum(row["class_counts"].values()) == 24
    assert row["training"] == {"samples_seen": 64, "budget": "images"}
    assert 0 <= row["colour_drift"] <= 1
    assert row["contrast_drift"] > -1


def test_run_resumes_and_says_nothing_new(lab, tmp_path):
    config = write(tmp_path, TINY_GAUSSIAN)
    lab("run", config)
    before = (tmp_path / "runs/tiny/generation_002/manifest.json").stat().st_mtime_ns
    assert lab("run", config)[0] == 0
    assert (tmp_path / "runs/tiny/generation_002/manifest.json").stat().st_mtime_ns == before


def test_a_class_name_may_hold_any_sign(lab, tmp_path):
    for name in ("$a$b$^$", "<b>"):
        (tmp_path / "odd" / name).mkdir(parents=True)
        for i in range(20):
            Image.new("L", (8, 8), i).save(tmp_path / "odd" / name / f"{i}.png")
    source = {"kind": "folder", "path": "odd"}
    modality = {
        "kind": "image",
        "source": source,
        "extractor": {"kind": "classifier", "images": 256},
    }
    code, _, err = lab("run", write(tmp_path, {**TINY_IMAGE, "modality": modality}))
    assert (code, err) == (0, "")


@pytest.mark.parametrize("where", ["store.files.os.replace", "store.stage_files.save_file"])
def test_full_disk_stops_resumably(lab, tmp_path, monkeypatch, where):
    def full(*_, **__):
        if where == "store.stage_files.save_file":
            raise SafetensorError("I/O error: No space left on device (os error 28)")
        raise OSError(28, "No space left on device")

    config = write(tmp_path, TINY_GAUSSIAN)
    with monkeypatch.context() as patch:
        patch.setattr(f"imglab.{where}", full)
        code, _, err = lab("run", config)
    assert code == 3
    assert "the disk is full" in err
    assert lab("run", config)[0] == 0


def test_control_characters_do_not_reach_the_terminal(lab, tmp_path):
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump({**TINY_GAUSSIAN, "\x1b[31mred": 1}))
    code, _, err = lab("validate", "tiny.yaml")
    assert code == 2
    assert "\x1b" not in err


def test_validate_says_valid_and_writes_nothing(lab, tmp_path):
    write(tmp_path, TINY_IMAGE)
    code, out, _ = lab("validate", "tiny.yaml")
    assert (code, out.splitlines()[0]) == (0, "tiny.yaml: valid")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]


def test_validate_does_not_import_what_a_config_names(lab, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "harmful.py").write_text("raise SystemExit(99)")
    write(tmp_path, {**TINY_GAUSSIAN, "regime": {"kind": "harmful:regime", "x": 1}})
    code, out, _ = lab("validate", "tiny.yaml")
    assert code == 0
    assert "not imported, so not checked: regime (harmful:regime)" in out


def test_a_regime_of_a_third_party(lab, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_regimes.py").write_text(
        "from imglab import regimes\n\n"
        "def last_two(sizes, *, generation, seed, keep):\n"
        "    assert keep == 2\n"
        "    return regimes.accumulate(sizes, generation=generation, seed=seed)\n"
    )
    write(tmp_path, {**TINY_GAUSSIAN, "regime": {"kind": "my_regimes:last_two", "keep": 2}})
    assert lab("run", "tiny.yaml")[0] == 0
    write(tmp_path, {**TINY_GAUSSIAN, "regime": {"kind": "my_regimes:last_two", "kepe": 2}})
    assert (
        "regime.kepe: my_regimes:last_two has no such key (did you mean 'keep'?)"
        in lab("run", "tiny.yaml", "--out", "b")[2]
    )


DEBUGGED = [
    (["run", "tiny.yaml", "--set", "regime.kind=no_lab:regime"], "ModuleNotFoundError: No module"),
    (["run", "tiny.yaml", "--set", "generations=0"], "ValidationError: 1 validation error"),
    (["metrics", "odd"], "JSONDecodeError: "),
    (["run", "turns.yaml"], "ModuleNotFoundError: No module"),
    (["sweep", "arms.yaml"], "ValidationError: 1 validation error"),
    (["sweep", "seedless.yaml"], "ValidationError: 1 validation error"),
    (["verify", "odd"], "JSONDecodeError: "),
]
TURNS = {"kind": "alternating", "models": ["gaussian", "no_lab:Model"]}


@pytest.mark.parametrize(("arguments", "cause"), DEBUGGED)
def test_debug_mode_shows_the_causes(lab, tmp_path, monkeypatch, arguments, cause):
    write(tmp_path, TINY_GAUSSIAN)
    write(tmp_path, {**TINY_GAUSSIAN, "model": TURNS}, "turns")
    write(tmp_path, {**TINY_GAUSSIAN, "arms": {"none": {"generations": 0}}}, "arms")
    write(tmp_path, {**TINY_GAUSSIAN, "arms": {"replace": {}}, "seeds": []}, "seedless")

    if "odd" in arguments:
        lab("run", "tiny.yaml", "--out", "odd")
        for name in ("metrics.json", "manifest.json"):
            (tmp_path / "odd/generation_001" / name).write_text("{")

    code, _, plain = lab(*arguments)
    monkeypatch.setenv("IMGLAB_DEBUG", "1")
    code_again, _, debugged = lab(*arguments)
    assert code == code_again == 2
    assert "Traceback" not in plain
    assert debugged.startswith(plain), "the message comes first"
    chain = debugged.removeprefix(plain)
    assert cause in chain
    assert chain.index(cause) < chain.index("The above exception was the direct cause")
    assert chain.index(cause) < chain.index("imglab.errors.InputError: ")


def test_debug_mode_shows_what_stopped_a_run(lab, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    write(tmp_path, TINY_GAUSSIAN)
    monkeypatch.setattr("imglab.store.files.os.replace", full)
    monkeypatch.setenv("IMGLAB_DEBUG", "1")
    code, _, err = lab("run", "tiny.yaml")
    assert code == 3
    assert err.startswith("stopped: the disk is full")
    assert "OSError: [Errno 28] No space left on device" in err


@pytest.mark.parametrize(
    ("curate", "said"),
    [
        (None, "30 drawn per generation"),
        ({"kind": "random", "keep": 0.5}, "60 drawn and 30 kept per generation"),
        ({"kind": "random", "keep": 0.5, "oversample": 3.0}, "90 drawn and 45 kept per generation"),
        ({"kind": "duplicates", "oversample": 2.0}, "60 drawn and then curated per generation"),
    ],
)
def test_the_header_says_how_many_are_drawn(lab, tmp_path, curate, said):
    write(tmp_path, {**TINY_GAUSSIAN, "generations": 1, "curate": curate})
    code, out, err = lab("run", "tiny.yaml")
    assert code == 0, err
    assert out.splitlines()[1].endswith(f"30 test samples, {said}")
    rows = json.loads(lab("metrics", "runs/tiny", "--json")[1])["runs"][0]["generations"]
    assert rows[0]["n_synthetic"] == int(said.split()[0])


def test_list_names_what_there_is(lab):
    code, out, _ = lab("list")
    assert code == 0
    for word in (
        "image",
        "gaussian",
        "diffusion",
        "accumulate_subsample",
        "  digits  ",
    ):
        assert word in out


def test_help_is_quick_and_imports_no_torch():
    code = "import sys; sys.argv = ['imglab', '--help']\nfrom imglab.cli import main\n"
    code += "try: main()\nexcept SystemExit: pass\n"
    code += "assert not {'torch', 'numpy', 'pydantic'} & set(sys.modules)"
    before = os.times()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    after = os.times()
    assert done.returncode == 0, done.stderr
    cpu_seconds = after.children_user - before.children_user
    assert cpu_seconds + after.children_system - before.children_system < 1
    for command in ("run", "metrics", "validate", "list"):
        assert f"\n  {command} " in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_resumably(tmp_path, number):
    config = write(tmp_path, {**TINY_GAUSSIAN, "generations": 500})
    command = [sys.executable, "-m", "imglab", "run", str(config), "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("3 "):
            os.kill(process.pid, number)
            break
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert "run the same command again" in err
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gaussian", "image", "text"])
def test_the_smallest_configs_run(kind, configs, tmp_path):
    """They take 6 to 14 seconds each on two idle cores, whole process; no time is asked for on a
    busy machine.
    """
    path, out = configs / "smoke" / f"{kind}.yaml", tmp_path / "run"
    subprocess.run(
        [sys.executable, "-m", "imglab", "run", path, "--out", out], check=True, capture_output=True
    )
    assert len(read_metrics(out)) == 3
