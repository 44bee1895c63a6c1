"""`imglab new`: a config that fits a person's data and a budget of time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from imglab.config.load import load_config, validate_config
from imglab.config.schema import RunConfig, SideBySideConfig
from imglab.errors import InputError
from imglab.running import cost_probe
from imglab.running.cost import RunCost, StageCost, verdict_on
from imglab.running.preparation_probe import budget_of
from imglab.running.proposal.choice import MARGIN, Choice, budget_text
from imglab.running.proposal.forms import Form, image_forms, patch_of, text_forms, vocabulary_of
from imglab.running.proposal.written import config_text, name_of, write_new
from imglab.running.short_plans import steps_of_fit
from tests.conftest import ROOT
from tests.running.test_cost import MEASURED

FOLDER = {"kind": "image", "source": {"kind": "folder", "path": "photos"}}


def cost(fit=100.0, once=20.0):
    """Six generations, of which each takes `fit` to train and 10 seconds to draw."""
    stages = [
        StageCost("prepare", once, (), 1000),
        StageCost("fit", 6 * fit, (fit,) * 6, 600),
        StageCost("draw", 60.0, (10.0,) * 6, 60),
    ]
    return RunCost(tuple(stages), 10**9, "a short probe")


def form(name, **factors):
    return Form(name, {"model": {"training": {"images": 1000}}}, factors)


LARGE = form("large", prepare=4, fit=2)
SMALL = form("small", prepare=1, fit=1)
COSTS = {"large": cost(200, 80), "small": cost()}


class TestChoice:
    def best(self, seconds, probed=None):
        def probe(each):
            if probed is not None:
                probed.append(each.described)
            return COSTS[each.described]

        return Choice([LARGE, SMALL], None, probe).best(seconds / MARGIN)

    def test_much_time_compares_regimes_with_the_best_model(self):
        candidate, whole = self.best(3 * (80 + 1200 + 60))
        assert (candidate.form.described, candidate.chains) == ("large", 3)
        assert (candidate.training, candidate.generations) == (1.0, 6)
        assert candidate.seconds(whole) == 3 * (80 + 1200 + 60)

    def test_a_model_that_is_trained_well_comes_before_size_and_length(self):
        candidate, _ = self.best(80 + 4 * 210)
        assert (candidate.form.described, candidate.generations, candidate.chains) == (
            "large",
            4,
            1,
        )
        candidate, whole = self.best(20 + 3 * 110)
        assert (candidate.form.described, candidate.training) == ("small", 1.0)
        assert "all of the recipe's training" in candidate.described
        assert candidate.cost(whole).disk == 1000 + 330

    def test_little_time_shortens_the_training(self):
        candidate, _ = self.best(20 + 3 * 35)
        assert candidate.training == 0.25
        assert candidate.tree()["model"] == {"training": {"images": 250}}

    def test_a_short_training_is_said_to_be_too_short(self):
        candidate, whole = self.best(20 + 3 * 35)
        said = candidate.shortfall(whole, "3m")
        # The smallest chain at full training takes 20 + 3 * 110 seconds, which are 80% of 438.
        assert said.startswith("a budget of 3m is too short to train generation 0 as the recipe")
        assert said.endswith("about 8m would do")
        assert replace(candidate, training=1.0).shortfall(whole, "3m") == ""

    def test_too_little_time_says_what_would_fit(self):
        with pytest.raises(InputError, match=r"1\.0 s do not suffice.*about 3m"):
            self.best(1.0 * MARGIN)

    def test_only_forms_that_may_fit_are_probed(self):
        probed: list[str] = []
        self.best(20 + 3 * 35, probed)
        assert probed == ["small"]

    def test_a_form_that_is_slower_than_expected_is_passed_over(self, monkeypatch):
        monkeypatch.setitem(COSTS, "large", cost(2000))
        candidate, _ = self.best(80 + 4 * 210)
        assert candidate.form.described == "small"


def valid(tree):
    return validate_config({**tree, "name": "x"}, "x")


class TestForms:
    @pytest.mark.parametrize("side", [8, 28, 32, 64, 96, 100])
    def test_all_forms_of_images_are_valid_configs(self, side):
        forms, wide = image_forms(FOLDER, side, 960, colour=True, classes=True)
        assert wide is not None
        for each in (*forms, wide):
            config: Any = valid(each.tree)
            assert config.modality.size % (2 * config.model.patch) == 0
            assert config.samples == 960
        sizes: list[Any] = [each.tree["modality"]["size"] for each in forms]
        assert sizes == sorted(sizes, reverse=True)

    def test_digits_have_the_recipe_of_the_preset(self):
        preset = load_config(ROOT / "configs/image_digits.yaml")
        assert isinstance(preset, RunConfig)
        (form, *_), _ = image_forms(FOLDER, 28, 4000, colour=False, classes=True)
        assert valid(form.tree).model == preset.model

    @pytest.mark.parametrize(
        ("n", "colour", "seen"),
        [(935, True, [224_000, 112_000]), (100, True, [12_000]), (935, False, [112_000])],
    )
    def test_many_photos_may_be_seen_twice_as_often(self, n, colour, seen):
        forms, _ = image_forms(FOLDER, 64, n, colour=colour, classes=True)
        largest = [valid(form.tree).model for form in forms if form.tree["modality"]["size"] == 64]
        assert [model.training.images for model in largest] == seen
        assert {model.fine_tuning.images for model in largest} == {6_400}

    def test_odd_sides_have_no_patch(self):
        assert patch_of(9) is None
        assert image_forms(FOLDER, 7, 60, colour=False, classes=False) == ([], None)

    def test_text_has_only_as_many_blocks_as_there_are(self):
        source = {"kind": "text", "source": "pydoc"}
        (only,) = text_forms(source, 300, 60, 50_000)
        config: Any = valid(only.tree)
        assert (config.modality.n_train, config.modality.token_budget) == (None, 2048)
        large, small = text_forms(source, 10_000, 2_500, 2_000_000)
        assert large.tree["modality"]["n_train"] == 4000
        assert small.tree["modality"]["n_test"] == 250
        assert vocabulary_of(10) == 512


class TestWritten:
    def test_comments_leave_the_config_as_it_is(self, tmp_path):
        (form, *_), _ = image_forms(FOLDER, 64, 960, colour=True, classes=True)
        text = config_text(form.tree, [("Question", "What\x1b[31m becomes of it? " * 12)])
        assert "\x1b" not in text
        assert "# pixels a side" in text
        assert yaml.safe_load(text) == form.tree

    def test_names(self):
        names = [name_of(each) for each in ("my photos/", "a.jsonl", "2024", "owner/name")]
        assert names == ["my_photos", "a", "data_2024", "name"]

    def test_nothing_is_overwritten(self, tmp_path):
        write_new(tmp_path / "a.yaml", "x")
        with pytest.raises(InputError, match="exists already"):
            write_new(tmp_path / "a.yaml", "y")
        with pytest.raises(InputError, match="no such folder"):
            write_new(tmp_path / "b/a.yaml", "y")
        assert (tmp_path / "a.yaml").read_text() == "x"


@pytest.fixture
def quick_probe(monkeypatch):
    """Let a probe answer at once; generations take 10 seconds, half of it fits."""
    answer = replace(MEASURED, grows=False, fit_first=5.0, fit_later=5.0)
    monkeypatch.setattr(cost_probe, "probe", lambda experiment, effort: answer)


@pytest.fixture
def photos(tmp_path):
    for number in range(80):
        folder = tmp_path / "photos" / ("cat" if number % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


@pytest.mark.usefixtures("quick_probe", "photos")
def test_a_folder_becomes_a_config(lab, tmp_path):
    code, out, err = lab("new", "photos", "--budget", "10m")
    assert (code, err) == (0, "")
    assert "80 images: cat 40, dog 40" in out
    assert "now: imglab run photos.yaml" in out
    config: Any = load_config(tmp_path / "photos.yaml")
    assert isinstance(config, SideBySideConfig)
    assert list(config.chains) == ["replace", "accumulate", "tenth_real"]
    assert lab("validate", "photos.yaml")[0] == 0

    # What is there stays, and a shorter time gives a shorter chain.
    code, _, err = lab("new", "photos", "--budget", "10m")
    assert code == 2
    assert "exists already" in err
    code, _, err = lab("new", "photos", "--budget", "40s", "--out", "b.yaml")
    assert (code, "warning: a budget of 40s is too short" in err) == (0, True)
    assert "too short" in (tmp_path / "b.yaml").read_text()
    config = load_config(tmp_path / "b.yaml")
    assert isinstance(config, RunConfig)


@pytest.mark.usefixtures("quick_probe")
def test_a_text_becomes_a_config(lab, tmp_path):
    rows = "".join(
        f'{{"text": "the {n} birds and the {n * 7} bees of day {n}. "}}\n' for n in range(900)
    )
    (tmp_path / "days.jsonl").write_text(rows)
    code, _, err = lab("new", "days.jsonl", "--budget", "90s")
    assert (code, err) == (0, "")
    config: Any = load_config(tmp_path / "days.yaml")
    assert (config.start, config.modality.tokenizer.vocabulary) == ("scratch", 512)


@pytest.mark.usefixtures("quick_probe", "photos")
def test_wrong_input(lab, tmp_path):
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        (["empty"], "holds no image and no text"),
        (["none"], "there is no such file or folder"),
        (["photos", "--budget", "soon"], "is no time"),
        (["photos", "--budget", "1s"], "fits into about"),
    ):
        code, _, err = lab("new", *arguments)
        assert code == 2
        assert message in err
    assert not list(tmp_path.glob("*.yaml"))

    for path in list((tmp_path / "photos").rglob("*.png"))[:50]:
        path.unlink()
    code, _, err = lab("new", "photos")
    assert code == 2
    assert "at least 50" in err


def test_times_and_budgets():
    assert [budget_text(50), budget_text(61), budget_text(9000)] == ["50s", "2m", "150m"]
    digits = load_config(ROOT / "configs/image_digits.yaml")
    assert isinstance(digits, RunConfig)
    assert steps_of_fit(digits.model) == 1750
    assert budget_of(digits) == ("images", 30_000)
    gaussian = load_config(ROOT / "configs/smoke/gaussian.yaml")
    assert isinstance(gaussian, RunConfig)
    assert steps_of_fit(gaussian.model) == 0
    assert budget_of(gaussian) is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(700, "within a factor"), (2000, "2.9 times"), (70, "0.1 times")]
)
def test_a_run_says_whether_it_took_as_long_as_expected(seconds, text):
    assert text in verdict_on(cost(), seconds)
