"""Calibration: reactions in closed form, signs that must hold, and what metrics must not see."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from imglab import seeds
from imglab.config.load import validate_config
from imglab.config.section import PlugIn
from imglab.images.damage import image_damages, textures
from imglab.images.metrics import measure_tone, tone_metrics
from imglab.modality import Modality
from imglab.samples import Samples
from imglab.solvable.gaussian.modality import GaussianModality
from imglab.solvable.gaussian.settings import GaussianDataSettings
from imglab.studies.calibration.figure import calibration_figure
from imglab.studies.calibration.reactions import Floor, agreement, floors, reaction, scalars
from imglab.studies.calibration.run import VERSION, Calibration, Sizes
from imglab.studies.calibration.scoring import FeatureScorer, scoring_threads
from imglab.studies.calibration.table import calibration_table, cell, unseen
from tests.conftest import ROOT
from tests.text_fixtures import TINY_MODEL, TINY_TEXT
from tests.tiny_chains import write

FLOOR = Floor(mean=10.0, sd=2.0, low=6.0, high=14.0)
STRENGTHS = (0.1, 0.5, 1.0)
GAUSSIAN = {
    "modality": {"kind": "gaussian", "n_train": 200, "n_test": 240, "components": 3},
    "model": {"kind": "gaussian"},
}


def test_a_reaction_in_units_of_the_floor():
    values: list[list[float | None]] = [[10.0, 12.0], [15.0, None], [20.0, 20.0]]
    assert reaction(FLOOR, values, STRENGTHS) == {
        "values": [11.0, 15.0, 20.0],
        "units": [0.5, 2.5, 5.0],
        "direction": 1,
        "first": 0.5,
    }


@pytest.mark.parametrize(
    ("means", "direction", "first"),
    [
        ((5, 5, 5), -1, 0.1),
        ((5, 10, 5), -1, 1.0),  # counted from the last strength that is inside
        ((20, 5, 5), -1, 0.5),  # it changes its side
        ((20, 20, 10), 0, None),
        ((20, 20, None), None, None),
    ],
)
def test_the_first_strength_is_that_from_which_on_it_stays_outside(means, direction, first):
    described = reaction(FLOOR, [[mean] for mean in means], STRENGTHS)
    assert (described["direction"], described["first"]) == (direction, first)


def test_repeats_that_differ_wildly_are_no_reaction():
    """Damage that makes a metric noisier moves the mean of a few repeats by chance."""
    described = reaction(FLOOR, [[30.0, 2.0, 20.0, 10.0]], (1.0,))
    assert described["values"] == [15.5]
    assert described["direction"] == 0


def test_a_floor_without_spread_has_no_units():
    described = reaction(Floor(0, 0, 0, 0), [[0.0], [0.1], [0.2]], STRENGTHS)
    assert described["units"] == [None] * 3
    assert cell(described) == "+ (.5)"


def test_floors_need_half_of_the_splits():
    splits = [{"a": float(n), "b": None if n < 60 else 1.0} for n in range(101)]
    of_metrics = floors(splits)
    assert list(of_metrics) == ["a"]
    assert (of_metrics["a"].low, of_metrics["a"].high) == (2.5, 97.5)


def test_deciles_give_their_first_and_errors_nothing():
    lists = {"recall_by_decile": [0.5, 0.9], "share_interval": [0.1, 0.2]}
    values = {"fid": 1, "fid_se": 2, **lists, "counts": {"a": 1}, "kid": None}
    assert scalars(values) == {"fid": 1, "recall_by_decile.1": 0.5, "kid": None}


def test_extractors_agree_that_rank_damage_alike():
    def scores(source, sign):
        of_damage = {"values": [sign * value for value in (1.0, 8.0, 27.0)]}
        return {"source": source, "reactions": {"fid": {"fade": of_damage}}}

    data = {"source": "data", "reactions": {}}
    result = {"scores": [data, scores("one", 1), scores("same", 3), scores("opposite", -1)]}
    assert [(*pair["extractors"], pair["spearman"]) for pair in agreement(result)] == [
        ("one", "same", pytest.approx(1)),
        ("one", "opposite", pytest.approx(-1)),
        ("same", "opposite", pytest.approx(-1)),
    ]


def test_who_does_not_see_what():
    """A metric that is undefined under a damage is not blind to it."""
    directions = {"fid": (1, 0), "kid": (1, 0), "recall": (None, -1), "density": (0, 0)}
    reactions = {
        metric: {
            name: {"direction": each} for name, each in zip(("fade", "copy"), two, strict=True)
        }
        for metric, two in directions.items()
    }
    assert unseen({"damages": ["fade", "copy"]}, {"reactions": reactions}) == {
        ("copy",): ["fid", "kid"],
        (): ["recall"],
        ("fade", "copy"): ["density"],
    }


def test_features_of_real_samples_are_taken_once():
    """Scores are the same whether features are looked up or not."""

    class Counted(GaussianModality):
        taken = 0

        def features(self, samples):
            self.taken += len(samples)
            return super().features(samples)

    modality = Counted(GaussianDataSettings(n_train=60, n_test=80))
    scorer = FeatureScorer(modality, {"precision_recall_k": 3, "density_coverage_k": 5})
    assert modality.taken == 140

    held_out = modality.real("test")
    scores = scorer.scores(held_out[:40], torch.arange(40, 80))
    assert modality.taken == 140
    moved = replace(held_out[:40], data=held_out.data[:40] + 1e-6)
    assert scorer.scores(moved, torch.arange(40, 80)) == pytest.approx(scores, abs=1e-3)
    assert modality.taken == 180


def calibrate(tree, folder, **sizes):
    """Return reactions by (source without hash, metric, damage), and the whole result."""
    config = validate_config({"name": "tiny", **tree}, "test")
    stage = Calibration([config], folder, sizes=Sizes(**sizes)).run()
    while True:
        try:
            next(stage)
        except StopIteration as end:
            result = end.value
            break
    by_key = {
        (scores["source"].partition("@")[0], metric, damage): described
        for scores in result["scores"]
        for metric, reactions in scores["reactions"].items()
        for damage, described in reactions.items()
    }
    return by_key, result


@cache
def scans(split) -> Samples:
    digits = load_digits()
    images = torch.from_numpy(digits.images * 15).to(torch.uint8)[:, None]
    samples = Samples.real(images, torch.from_numpy(digits.target).long())
    order = torch.randperm(len(samples), generator=seeds.generator("digits"))
    return samples[order[:360]] if split == "test" else samples[order[360:660]]


class Digits(Modality):
    """Scans of digits by their pixels, with nothing to train."""

    def real(self, split):
        return scans(split)

    def damages(self):
        return image_damages(self.real("train"))

    def sample_metrics(self, samples):
        real = measure_tone(self.real("train").data)
        return tone_metrics(samples.data, real=real)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The digits' pixels under damage in full."""
    tree = {"modality": {"kind": f"{__name__}:Digits"}, "model": {"kind": "gaussian"}}
    folder = tmp_path_factory.mktemp("digits")
    return calibrate(tree, folder / "calibration", splits=40, repeats=4, strengths=(1.0,))


@pytest.mark.parametrize(
    ("metric", "damage", "sign"),
    [
        ("fid", "fade", 1),
        ("fid", "noise", 1),
        ("fid", "blur", 1),
        ("fid", "shuffle_quarters", 1),
        ("precision", "noise", -1),
        ("precision", "mix_in", -1),
        ("recall", "drop_class", -1),
        ("coverage", "drop_class", -1),
        ("recall", "duplicate", -1),
        ("coverage", "duplicate", -1),
        ("nearest_distance", "memorise", -1),
        ("nearest_distance", "noise", 1),
    ],
)
def test_signs_that_must_hold_for_pixels(digits, metric, damage, sign):
    assert digits[0]["data", metric, damage]["direction"] == sign


@pytest.mark.parametrize(
    ("metric", "damage"),
    [
        ("precision", "drop_class"),  # what is left is as real as before
        ("precision", "duplicate"),
        ("precision", "memorise"),  # training images are real images
        ("recall", "memorise"),
        ("fid", "memorise"),
    ],
)
def test_what_a_metric_must_not_see(digits, metric, damage):
    assert digits[0]["data", metric, damage]["direction"] == 0


def test_contrast_sees_fading_and_not_where_pixels_are(digits):
    reactions = digits[0]
    assert reactions["without features", "contrast_drift", "fade"]["direction"] == -1
    assert reactions["without features", "contrast_drift", "shuffle_quarters"]["direction"] == 0


def test_pixels_take_fading_for_density(digits):
    """A known fault, which the table shows: images that fade move towards one another."""
    assert digits[0]["data", "density", "fade"]["direction"] == 1


@pytest.mark.slow
def test_damage_without_strength_stays_in_the_floor(tmp_path):
    """The null: with next to no damage each metric is where undamaged samples are."""
    reactions, result = calibrate(
        GAUSSIAN, tmp_path / "null", splits=40, repeats=6, strengths=(1e-9, 1.0)
    )
    for (_, metric, damage), described in reactions.items():
        value = described["units"][0]
        assert value is None or abs(value) < 1.8, (metric, damage)  # the mean of six draws

    assert reactions["identity", "fid", "noise"]["direction"] == 1
    assert reactions["identity", "recall", "drop_tail"]["direction"] == -1
    assert reactions["identity", "precision", "drop_tail"]["direction"] == 0
    assert result["sizes"]["samples"] == result["sizes"]["reference"] == 80
    assert result["sizes"]["pool"] == 160


def test_splits_are_scored_in_threads_with_the_same_bytes(tmp_path):
    results = []
    for threads in (1, 2):
        tree = GAUSSIAN | {"threads": threads}
        folder = tmp_path / str(threads)
        calibrate(tree, folder, splits=21, repeats=3, strengths=(0.5, 1.0))
        results.append((folder / "calibration.json").read_bytes())
    assert results[0] == results[1]

    # A plug-in may keep in itself what it is working on.
    shipped = GaussianDataSettings()
    assert len(scoring_threads([shipped])) == torch.get_num_threads() == 2
    assert len(scoring_threads([shipped, PlugIn(kind=f"{__name__}:Digits")])) == 1


@pytest.mark.slow
def test_a_bag_of_tokens_sees_repeats_and_is_not_asked_for_order(tmp_path):
    modality = {**TINY_TEXT, "n_test": 90, "n_fresh": 0}
    tree = {"modality": modality, "model": TINY_MODEL}
    reactions, _ = calibrate(tree, tmp_path / "text", splits=20, repeats=2, strengths=(1.0,))
    assert reactions["without features", "repetition", "repeat_phrases"]["direction"] == 1
    assert reactions["without features", "duplicate_share", "copy"]["direction"] == 1
    assert reactions["without features", "distinct_1", "shuffle_words"]["direction"] == 0


@pytest.mark.slow
def test_images_of_another_kind_are_mixed_in(tmp_path):
    """Seen by the Frechet distance and by precision; more of the real data are seen by neither."""
    images = {
        "real": torch.cat([scans("train").data[:150], scans("test").data]),
        "clothes": textures(200, (1, 8, 8), seed=3),
        "scans": scans("train").data[150:],
    }
    for name, each in images.items():
        np.savez(tmp_path / f"{name}.npz", images=each.permute(0, 2, 3, 1).numpy())
    sets = [{"label": name, "path": str(tmp_path / f"{name}.npz")} for name in ("clothes", "scans")]
    source = {"kind": "npz", "path": str(tmp_path / "real.npz")}
    modality = {"kind": "image", "source": source, "n_test": 200, "extractor": "pixels"}
    modality["synthetic"] = sets
    tree = {"modality": modality, "model": {"kind": "diffusion", "channels": [8, 16]}}
    reactions, result = calibrate(
        tree, tmp_path / "calibration", samples=60, splits=40, repeats=3, strengths=(1.0,)
    )

    assert "set 'clothes'" in result["damages"]["mix_in_clothes"]["description"]
    for metric, direction in [("fid", 1), ("precision_bounded", -1)]:
        assert reactions["pixels", metric, "mix_in_clothes"]["direction"] == direction
        assert reactions["pixels", metric, "mix_in_scans"]["direction"] == 0


@pytest.mark.slow
def test_texts_of_another_kind_are_mixed_in(tmp_path):
    (tmp_path / "noise.txt").write_text("zq xj " * 4000)
    sets = [{"label": "noise", "path": str(tmp_path / "noise.txt")}]
    modality = {**TINY_TEXT, "n_test": 90, "n_fresh": 0, "synthetic": sets}
    tree = {"modality": modality, "model": TINY_MODEL}
    reactions, _ = calibrate(tree, tmp_path / "text", splits=20, repeats=2, strengths=(1.0,))
    assert reactions["text encoder", "fid", "mix_in_noise"]["direction"] == 1
    assert reactions["without features", "repetition", "mix_in_noise"]["direction"] == 1


@pytest.mark.slow
def test_the_command_writes_table_picture_and_json(lab, tmp_path):
    config = write(tmp_path, GAUSSIAN)
    few = ("--splits", 20, "--repeats", 1, "--samples", 40)
    code, out, err = lab("calibrate", config, *few)
    assert (code, err) == (0, "")
    assert "drop_component" in out

    folder = tmp_path / "runs/calibration_tiny"
    result = json.loads((folder / "calibration.json").read_text())
    assert result["sizes"]["samples"] == 40
    assert Image.open(folder / "calibration.png").size[0] > 400
    assert (folder / "calibration.md").read_text() == calibration_table(result)
    assert len(calibration_figure(result).axes) == 2

    # The same again gives the same, and other data are not written over it.
    assert json.loads(lab("calibrate", config, *few, "--json")[1]) == result
    code, _, err = lab("calibrate", config, "--set", "modality.components=2")
    assert code == 2
    assert "holds a calibration of other data" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "modality.n_test=30"), "a calibration needs 40 held-out samples, there are 30"),
        (("--samples", "100"), "--samples: asks for 100 samples, a third of the 240 held-out"),
        (("--extractor", "clasifier"), "modality.extractor"),
        (("--out", "."), "is not empty and not a calibration (choose another --out)"),
    ],
)
def test_wrong_input_is_refused(lab, tmp_path, arguments, message):
    code, _, err = lab("calibrate", write(tmp_path, GAUSSIAN), *arguments)
    assert code == 2
    assert message in err


def test_an_unknown_extractor_gets_the_nearest_name(lab, tmp_path):
    tree = {"modality": {"kind": "image"}, "model": {"kind": "diffusion"}}
    code, _, err = lab("calibrate", write(tmp_path, tree), "--extractor", "clasifier")
    assert code == 2
    assert "modality.extractor.kind" in err
    assert "did you mean 'classifier'?" in err


def test_data_that_cannot_be_damaged_are_refused(lab, tmp_path):
    tree = {"modality": {"kind": "tests.training.test_torch_model:Ring"}, "model": "gaussian"}
    code, _, err = lab("calibrate", write(tmp_path, tree))
    assert code == 2
    assert "Ring does not say how its samples are damaged" in err


def test_the_documents_show_the_results(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from calibration_docs import calibration_docs

    shown = (ROOT / "docs/metrics.md").read_text()
    assert calibration_docs() in shown, "run: python scripts/calibration_docs.py --write"
    for path in (ROOT / "docs/calibration").glob("*.json"):
        result = json.loads(path.read_text())
        assert (result["version"], result["name"]) == (VERSION, path.stem)
        assert (ROOT / f"docs/images/calibration_{path.stem}.png").stat().st_size < 200_000


SEEN = {
    "fade": {"fid": 1, "recall_bounded": -1, "contrast_ratio": -1, "variance_ratio": -1},
    "brighten": {"fid": 1, "recall_bounded": -1},
    "blur": {"fid": 1, "recall_bounded": -1, "contrast_ratio": -1},
    "noise": {"fid": 1, "precision_bounded": -1, "recall_bounded": -1},
    "blocks": {"fid": 1, "two_sample_auc": 1},
    "shuffle_quarters": {"fid": 1, "recall_bounded": -1, "two_sample_auc": 1},
    "drop_class": {"fid": 1, "recall_bounded": -1},
    "drop_rare": {"fid": 1, "recall_bounded": -1},
    "mix_in": {"fid": 1, "precision_bounded": -1},
    "memorise": {"memorization": 1, "nearest_distance": -1},
    "shuffle_words": {"fid": 1, "precision_bounded": -1, "coverage": -1},
    "reverse": {"fid": 1, "precision_bounded": -1, "coverage": -1},
    "unigrams": {"fid": 1, "precision_bounded": -1, "recall_bounded": -1},
    "halves": {"fid": 1, "vendi": -1, "two_sample_auc": 1},
    "drop_rare_words": {"fid": 1, "recall_bounded": -1, "rare_word_survival": -1},
    "repeat_phrases": {"fid": 1, "precision_bounded": -1, "repetition": 1},
    "copy": {"memorization": 1, "nearest_distance": -1},
    "duplicate": {"recall_bounded": -1, "coverage": -1},
}
"""Which metrics must see a damage at strength 1, and in which direction."""

UNSEEN = {
    "memorise": ("fid", "precision_bounded", "recall_bounded"),
    "drop_rare": ("precision_bounded", "vendi"),
    "drop_class": ("precision_bounded",),
    "duplicate": ("precision_bounded",),
    "drop_type": ("precision_bounded", "recall_bounded"),
}
"""Which metrics must not react: none of the samples differs from real ones, or none is missing."""


@pytest.mark.parametrize("path", sorted((ROOT / "docs/calibration/judges").glob("*.json")))
def test_features_of_a_classifier_rank_damage_as_independent_judges_do(path):
    """`python scripts/calibration_judges.py` keeps what other architectures say."""
    kept = json.loads(path.read_text())
    assert len(kept["damages"]) >= 11
    assert set(kept["spearman"]["classifier"]) >= {"lenet", "resnet", "mixer"}
    for judge in ("lenet", "resnet", "mixer"):
        assert kept["spearman"]["classifier"][judge] >= 0.8, judge


@pytest.mark.parametrize(
    ("name", "extractor"),
    [
        ("image_digits", "classifier"),
        ("image_digits", "self_supervised"),
        ("text_pydoc", "sequence encoder"),
    ],
)
def test_the_extractors_that_ship_see_what_they_must(name, extractor):
    result = json.loads((ROOT / f"docs/calibration/{name}.json").read_text())
    reactions = {
        metric: of_damages
        for scores in result["scores"]
        if scores["source"] == "without features" or scores["source"].startswith(extractor)
        for metric, of_damages in scores["reactions"].items()
    }
    for damage in result["damages"]:
        for metric, direction in SEEN.get(damage, {}).items():
            seen = reactions[metric][damage]
            assert seen["direction"] == direction, (damage, metric)
            assert seen["first"] is not None, (damage, metric)
        for metric in UNSEEN.get(damage, ()):
            assert reactions[metric][damage]["first"] is None, (damage, metric)
