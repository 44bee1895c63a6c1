"""`imglab score`: what it says of known sets, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imglab.errors import InputError, Problem
from imglab.images.extractor_settings import SelfSupervisedSettings
from imglab.report.score_text import reading
from imglab.running.export import export
from imglab.store.layout import generation_folder
from imglab.studies.score import real as real_side
from imglab.studies.score import references
from imglab.studies.score.options import (
    SELF_SUPERVISED_IMAGES,
    ReadingOptions,
    as_options,
    default_image_extractor,
    image_settings,
    text_settings,
)
from imglab.text.settings import BpeSettings, SequenceEncoderSettings
from tests.cli_fixtures import lab  # noqa: F401
from tests.tiny_chains import TINY_CHAIN, TINY_IMAGE, finish, write

PIXELS = ("--extractor", "pixels")


@pytest.fixture(autouse=True)
def _quick(monkeypatch, tmp_path):
    """Few splits behind a floor, small encoders of text, and a cache of one's own."""
    monkeypatch.setattr(real_side, "SPLITS", 20)
    monkeypatch.setattr(real_side, "text_settings", _small)
    monkeypatch.setenv("IMGLAB_CACHE", str(tmp_path / "cache"))


def _small(options, *, source):
    encoder = SequenceEncoderSettings(layers=1, width=8, tokens=2000)
    tokenizer = BpeSettings(vocabulary=300)
    settings = text_settings(options, source=source)
    return settings.model_copy(update={"extractor": encoder, "tokenizer": tokenizer})


@pytest.fixture
def score(lab):  # noqa: F811
    """Score two sides with options; return what `--json` prints."""

    def scored(*arguments):
        code, out, err = lab("score", *arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    return scored


def images(n: int, seed: int) -> np.ndarray:
    """Colour images uint8 [N, 6, 6, 3] of smooth brightness: a few directions, some noise."""
    numbers = np.random.default_rng(seed)
    shades = numbers.normal(0, 30, (n, 2, 2, 3)).repeat(3, 1).repeat(3, 2)
    return np.clip(128 + shades + numbers.normal(0, 4, shades.shape), 0, 255).astype(np.uint8)


def save(path: Path, array: np.ndarray) -> Path:
    """Write images as files of a folder, or as an archive where the name says so."""
    if path.suffix == ".npz":
        np.savez(path, arr_0=array)
        return path
    path.mkdir(parents=True)
    for number, image in enumerate(array):
        Image.fromarray(image).save(path / f"{number:03d}.png")
    return path


def texts(n: int, seed: int) -> list[str]:
    numbers = np.random.default_rng(seed)
    words = ("cat", "sees", "small", "red", "house", "old", "dog", "sleeps", "near", "day")
    return [" ".join(numbers.choice(words, 30)) + "." for _ in range(n)]


def lines(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class TestWhatItSays:
    def test_real_data_score_as_the_floor_says(self, score, tmp_path):
        """The null: two draws of one distribution."""
        real = save(tmp_path / "real.npz", images(160, 0))
        row = score(real, save(tmp_path / "again.npz", images(80, 1)), *PIXELS)
        for name in ("fid", "precision", "recall", "density", "coverage"):
            floor = row["floor"][name]
            assert abs(row[name] - floor["mean"]) < 4 * floor["sd"] + 1e-9, name
        assert row["variance_ratio"] == pytest.approx(1, abs=0.15)
        assert abs(row["memorization"] - 0.5) < 4 * row["memorization_se"]
        assert (row["n_real"], row["n_synthetic"], row["extractor"]) == (80, 80, "pixels")
        assert row["copies"]["nearer_than_held_out"] < 8
        assert not row["copies"]["identical_to_held_out"]

    def test_a_faded_copy_is_worse_and_named_so(self, score, tmp_path):
        real = save(tmp_path / "real.npz", images(160, 0))
        faded = (128 + (images(80, 1) - 128.0) * 0.5).astype(np.uint8)
        row = score(real, save(tmp_path / "faded.npz", faded), *PIXELS)
        assert row["fid"] > row["floor"]["fid"]["mean"] + 4 * row["floor"]["fid"]["sd"]
        assert row["verdict"]["verdict"] == "poor"
        assert row["variance_ratio"] < 0.5
        assert "fading" in " ".join(row["reading"])

    def test_copies_of_training_data_are_seen_and_named(self, score, tmp_path):
        save(tmp_path / "real" / "train", images(40, 0))
        save(tmp_path / "real" / "test", images(40, 1))
        copies = images(40, 0)
        copies[20:] = images(40, 2)[20:]
        row = score(tmp_path / "real", save(tmp_path / "copies", copies), *PIXELS)
        assert row["duplicate_share"] == 0.5
        assert row["memorization"] > 0.5 + 2 * row["memorization_se"]
        closest = row["copies"]["closest"][0]
        assert closest["identical"]
        assert closest["real"] == f"train/{closest['synthetic']}"
        assert "byte for byte" in " ".join(row["reading"])

    def test_a_model_that_has_seen_what_is_held_out_is_named(self, score, tmp_path):
        """Where REAL has no test part, copies of the part that is held out must not go unseen."""
        real = save(tmp_path / "real.npz", images(80, 0))
        row = score(real, save(tmp_path / "copies.npz", images(80, 0)[::-1]), *PIXELS)
        assert 10 < row["copies"]["identical_to_held_out"] < 30
        assert "equal a held-out sample" in " ".join(row["reading"])

    def test_texts_of_a_folder_against_json_lines(self, score, tmp_path):
        (tmp_path / "real").mkdir()
        for number, text in enumerate(texts(60, 0)):
            (tmp_path / "real" / f"{number}.txt").write_text(text)
        rows = [{"words": text} for text in [*texts(40, 1), " "]]
        synthetic = lines(tmp_path / "samples.jsonl", rows)
        row = score(tmp_path / "real", synthetic, "--column", "words", "--block", 16)
        assert "encoder@" in row["extractor"]
        assert {"distinct_2", "gzip_ratio", "repetition"} <= set(row)
        assert f"{synthetic}: left out: 1 row without text" in row["notes"]

    @pytest.mark.parametrize("names", [["train/a", "val/b"], ["train", "val"]])
    def test_parts_are_those_that_a_run_would_have(self, score, tmp_path, names):
        """Folders and files are read as everywhere: hidden files are not, parts are by name."""
        real = tmp_path / "real"
        for number, name in enumerate([*names, ".ipynb_checkpoints/c"]):
            path = real / f"{name}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(["text", *texts(40, number)]))
        synthetic = tmp_path / "made.txt"
        synthetic.write_text("\n\n".join(texts(30, 4)))
        row = score(real, synthetic, "--block", 16)
        assert "its own test part" in " ".join(row["notes"])
        assert "1 hidden or system files" in " ".join(row["notes"])

    def test_the_page_and_the_table(self, lab, tmp_path):  # noqa: F811
        real = save(tmp_path / "real", images(40, 0))
        (real / "readme.md").write_text("about")
        code, out, _ = lab("score", real, save(tmp_path / "made", images(40, 1)), *PIXELS)
        assert code == 0
        assert "left out: 1 .md" in out
        assert "compared with 20 held-out samples" in out
        assert "FID (pixels)" in out
        page = (tmp_path / "scores/real__made/report.html").read_text()
        assert page.count("data:image/png") == 14
        assert json.loads((tmp_path / "scores/real__made/scores.json").read_text())["reading"]


@pytest.fixture(
    scope="module",
    params=[TINY_IMAGE, pytest.param(TINY_CHAIN, marks=pytest.mark.slow)],
    ids=["image", "text"],
)
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    finish(
        write(folder, {**request.param, "generations": 1, "measure": {"floor_splits": 20}}),
        folder / "run",
    )
    return folder / "run"


def test_images_are_compared_by_what_their_labels_allow():
    extractor = image_settings(ReadingOptions(), 0, n_test=2, source="x").extractor
    assert extractor == SelfSupervisedSettings(images=SELF_SUPERVISED_IMAGES)
    assert default_image_extractor(2) is None


def test_what_chance_explains_is_not_called_a_difference():
    floor = {"fid": {"mean": 4.0, "sd": 1.0}, "precision": {"mean": 0.94, "sd": 0.04}}
    row = {
        "fid": 4.2,
        "precision": 0.88,
        "extractor": "pixels",
        "floor": floor,
        "verdict": {"verdict": "poor", "reasons": ["precision is 0.88"]},
        "copies": {"identical_to_held_out": 0},
    }
    assert "is not decided" in reading(row)[0]
    assert "differ from the real ones" in reading({**row, "precision": 0.8})[0]
    assert "differ from the real ones" in reading({**row, "fid": 7.0})[0]


def test_every_metric_that_lies_outside_its_floor_is_a_difference():
    floor = {
        "fid": {"mean": 4.0, "sd": 1.0},
        "variance_ratio": {"mean": 1.0, "sd": 0.015, "low": 0.97, "high": 1.03},
        "two_sample_auc": {"mean": 0.5, "sd": 0.025, "low": 0.45, "high": 0.55},
    }
    row = {
        **{"fid": 4.2, "variance_ratio": 0.98, "two_sample_auc": 0.53, "memorization": 0.6},
        **{"extractor": "pixels", "floor": floor, "memorization_se": 0.02},
        "verdict": {"verdict": "good", "reasons": []},
        "copies": {"identical_to_held_out": 0},
    }
    assert reading(row)[0].endswith("every threshold for a good model is met.")
    told = reading({**row, "two_sample_auc": 0.98})[0]
    assert "is met; but a classifier tells them from real ones" in told
    assert "0.98, where real data have 0.50" in told

    poor = {**row, "verdict": {"verdict": "poor", "reasons": ["variance_ratio is 0.94"]}}
    assert "differ from the real ones: variance" in reading({**poor, "variance_ratio": 0.94})[0]
    assert "is not decided" in reading({**poor, "variance_ratio": 0.975})[0]
    told = reading({**poor, "two_sample_auc": 0.98})[0]
    assert told.startswith("The synthetic samples differ from the real ones: a classifier tells")

    # Samples that keep to the dense parts of the data lie near the training set, too.
    assert "near copies, or keep to where training samples are dense" in reading(row)[-1]


class TestRuns:
    def test_a_generation_scores_as_its_run_did(self, score, run, tmp_path):
        before = sorted(path for path in run.rglob("*"))
        row = score(run, f"{run}@0")
        measured = json.loads((generation_folder(run, 0) / "metrics.json").read_text())
        for name in ("fid", "kid", "precision", "recall", "density", "extractor", "n_real"):
            assert row[name] == pytest.approx(measured[name]), name
        assert row["floor"]["fid"] == measured["floor"]["fid"]
        assert sorted(path for path in run.rglob("*")) == before

        # What `export` wrote of the samples scores alike; texts are cut into blocks anew.
        export(f"{run}@0", tmp_path / "exported")
        again = score(run, tmp_path / "exported", "--out", tmp_path / "again")
        if "class_counts" in row:
            assert again["fid"] == pytest.approx(row["fid"])


class TestReferences:
    def test_a_stored_reference_gives_the_same_scores(self, score, lab, tmp_path):  # noqa: F811
        real = save(tmp_path / "real", images(40, 0))
        made = save(tmp_path / "made.npz", images(40, 1))
        row = score(real, made, *PIXELS, "--save-reference", "shades")
        again = score("reference:shades", made, "--out", tmp_path / "again")
        third = score("reference:shades", made, "--samples", 10, "--out", tmp_path / "third")
        assert again["fid"] == row["fid"]
        assert again["copies"]["closest"] == row["copies"]["closest"]
        assert third["n_synthetic"] == 10

        assert "reference:shades  40 samples" in lab("score", "--list-references")[1]
        code, _, err = lab("score", real, made, *PIXELS, "--save-reference", "shades")
        assert (code, "already" in err) == (2, True)
        code, _, err = lab("score", "reference:shade", made)
        assert (code, "did you mean 'shades'?" in err) == (2, True)
        assert "leave it out" in lab("score", "reference:shades", made, "--size", 4)[2]

        weights = references.folder() / "shades/shared/reference.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"x")
        code, _, err = lab("score", "reference:shades", made)
        assert (code, "does not match" in err) == (2, True)


class TestTables:
    def test_parquet_and_hub_data_sets(self, score, tmp_path):
        datasets = pytest.importorskip("datasets")
        real = datasets.Dataset.from_dict({"text": texts(60, 0)})
        (tmp_path / "set").mkdir()
        real.to_parquet(tmp_path / "set" / "train.parquet")
        real.to_parquet(tmp_path / "made.parquet")
        lines(tmp_path / "made.jsonl", [{"text": text} for text in texts(40, 1)])
        keys = (tmp_path / "made.jsonl", "--block", 16, "--out", tmp_path / "out")
        row = score(tmp_path / "set" / "train.parquet", *keys)
        of_hub = score(f"hub:{tmp_path / 'set'}:train", *keys[:-1], tmp_path / "hub")
        assert of_hub["fid"] == row["fid"]

    def test_images_in_parquet(self, score, tmp_path):
        datasets = pytest.importorskip("datasets")
        pictures = [Image.fromarray(image) for image in images(40, 0)]
        features = datasets.Features({"image": datasets.Image()})
        table = datasets.Dataset.from_dict({"image": pictures}, features=features)
        table.to_parquet(tmp_path / "real.parquet")
        made = save(tmp_path / "made.npz", images(40, 1))
        assert score(tmp_path / "real.parquet", made, *PIXELS)["n_real"] == 20


class TestWrongInput:
    @pytest.fixture
    def refused(self, lab, tmp_path):  # noqa: F811
        """Say what the command refuses of its input, in the folder of some usable sets."""
        save(tmp_path / "real", images(24, 0))
        save(tmp_path / "made", images(24, 1))
        save(tmp_path / "few", images(4, 1))
        save(tmp_path / "grey", images(24, 1)[..., 0])
        save(tmp_path / "large", images(24, 1).repeat(2, 1).repeat(2, 2))
        (tmp_path / "empty").mkdir()
        (tmp_path / "notes.txt").write_text("\n\n".join(texts(40, 0)))
        (tmp_path / "odd.xml").write_text("a,b")
        np.savez(tmp_path / "floats.npz", samples=images(24, 1) / 100)
        lines(tmp_path / "rows.jsonl", [{"txt": "a b", "tag": "c"}])
        save(tmp_path / "both", images(2, 1))
        for number in range(5):
            (tmp_path / "both" / f"{number}.txt").write_text("a b")
        (tmp_path / "torn.jsonl").write_text('{"text": "a"}\n{"text"')
        save(tmp_path / "broken", images(24, 1))
        (tmp_path / "broken" / "003.png").write_bytes(b"no image")

        def refusal(*arguments):
            code, out, err = lab("score", *arguments)
            assert (code, out) == (2, ""), (code, out)
            return err

        return refusal

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["real", "real"], "is the same as REAL"),
            (["real", "./real/../real"], "is the same as REAL"),
            ([".", "made"], "lie one inside the other"),
            (["real", "nowhere"], "there is no file or folder 'nowhere'"),
            (["real", "empty"], "'empty' is an empty folder"),
            (["real", "odd.xml"], "'odd.xml' is not a kind of file that can be scored"),
            (["real", "real/000.png"], "is a single image"),
            (["real", "few"], "4 samples are too few"),
            (["few", "real"], "2 training and 2 held-out samples are too few"),
            (["real", "notes.txt"], "holds text, and REAL holds images"),
            (["real", "grey"], "--colour grey, or --colour rgb"),
            (["real", "large"], "12 x 12 rgb, those of REAL 6 x 6 rgb (resize or convert both: "),
            (
                ["real", "floats.npz"],
                "samples must be uint8, or floats that fill [0, 1] or [-1, 1]; not float64",
            ),
            (["real", "broken"], "broken/003.png: cannot be read as an image"),
            (["real", "made", "--samples", "30"], "SYNTHETIC has 24 (at most 24)"),
            (["real", "made", "--extractor", "pixel"], "did you mean 'pixels'?"),
            (["real", "made", "--extractor", "inceptoin:x"], "did you mean 'inception'?"),
            (["real", "made", "--split", "tset"], "did you mean 'test'?"),
            (["real", "made", "--device", "gpu"], "there is no device 'gpu'"),
            (["real", "made", "--size", "1"], "--size: must be greater than or equal to 4"),
            (["real", "made", "--save-reference", "a/b"], "cannot be a name"),
            (["notes.txt", "rows.jsonl"], "--column: 'rows.jsonl' has several columns"),
            (["notes.txt", "torn.jsonl"], "torn.jsonl:2' is not JSON"),
            (["notes.txt", "both"], "'both' holds 2 images and 5 texts"),
            (["real", "reference:x"], "is a reference of real data"),
            (["reference:x", "made"], "there is no reference 'x'"),
            (["real", "none@3"], "is not a run directory"),
            (["real"], "imglab score REAL SYNTHETIC"),
            (["real", "made", "--out", "real"], "is not empty and does not hold scores"),
        ],
    )
    def test_is_refused_with_a_remedy(self, refused, arguments, said):
        assert said in refused(*arguments)

    def test_scores_of_two_other_sets_are_not_overwritten(self, refused, lab):  # noqa: F811
        assert lab("score", "real", "made", *PIXELS, "--out", "out")[0] == 0
        assert lab("score", "real", "made", *PIXELS, "--out", "out")[0] == 0
        assert "two other sets" in refused("made", "real", *PIXELS, "--out", "out")

    def test_other_sizes_and_colours_are_brought_to_one_form(self, refused, score):
        assert score("real", "large", "--size", 6, *PIXELS)["n_real"] == 12
        row = score("real", "grey", "--colour", "grey", *PIXELS)
        assert torch.tensor(row["variance_ratio"]).isfinite()


def test_splits_of_a_folder_are_chosen_by_naming_one():
    remedy = "set modality.source.splits to none to make them classes, or rename one"
    (problem,) = as_options([Problem("modality.source.path", "is not clear", remedy)])
    assert str(problem) == "REAL: is not clear (give one part, or rename one)"


def test_references_lie_in_the_labs_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("IMGLAB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert references.folder() == tmp_path / "imglab/references"
    monkeypatch.setenv("IMGLAB_CACHE", "")
    with pytest.raises(InputError, match="nothing is kept"):
        references.listed()
