"""The gate of generation 0: good, poor or unknown, with the reasons."""

from __future__ import annotations

import pytest

from imglab.measure.gate import judge_generation0

IMAGES = {"variance_ratio": 0.95, "excess_fid": 1.0, "precision": 0.05, "recall": 0.05}
FLOOR = {
    "fid": {"mean": 13.0, "sd": 3.4},
    "precision": {"mean": 0.92, "sd": 0.01},
    "recall": {"mean": 0.92, "sd": 0.02},
}
GOOD = {"variance_ratio": 0.99, "fid": 16.0, "precision": 0.9, "recall": 0.88}


def test_a_model_that_meets_every_threshold_is_good():
    assert judge_generation0(GOOD, FLOOR, IMAGES) == {"verdict": "good", "reasons": []}


@pytest.mark.parametrize(
    ("metric", "value", "reason"),
    [
        ("variance_ratio", 0.905, "variance_ratio is 0.905, at least 0.95 is asked for"),
        (
            "fid",
            24.0,
            "fid is 24 beside a floor of 13 ± 3.4; at most 1 times that ± away is asked for",
        ),
        ("recall", 0.8, "recall is 0.8, at most 0.05 below its floor of 0.92 is asked for"),
        ("recall", None, "recall is undefined, at most 0.05 below its floor of 0.92 is asked for"),
    ],
)
def test_one_miss_makes_it_poor(metric, value, reason):
    verdict = judge_generation0({**GOOD, metric: value}, FLOOR, IMAGES)
    assert verdict == {"verdict": "poor", "reasons": [reason]}


def test_a_distance_below_its_floor_is_no_miss():
    assert judge_generation0({**GOOD, "fid": 1.0}, FLOOR, IMAGES)["verdict"] == "good"


def test_without_a_floor_nothing_is_decided():
    verdict = judge_generation0(GOOD, {}, IMAGES)
    assert verdict["verdict"] == "unknown"
    assert len(verdict["reasons"]) == 3


def test_a_miss_decides_even_where_other_thresholds_cannot_be_checked():
    verdict = judge_generation0({"variance_ratio": 0.5}, {}, IMAGES)
    assert verdict["verdict"] == "poor"
    assert verdict["reasons"][0].startswith("variance_ratio")


def test_further_training_that_helps_makes_a_text_model_poor():
    thresholds = {"further_training": 0.02}
    assert judge_generation0({"further_training": 0.01}, {}, thresholds)["verdict"] == "good"
    assert judge_generation0({"further_training": -0.2}, {}, thresholds)["verdict"] == "good"
    poor = judge_generation0({"further_training": 0.1}, {}, thresholds)
    assert "10.0%" in poor["reasons"][0]


def test_trusted_metrics_stay_near_their_floors():
    thresholds = {"trusted": 2.0}
    near = judge_generation0({"recall": 0.89}, FLOOR, thresholds, trusted=("recall",))
    far = judge_generation0({"recall": 0.8}, FLOOR, thresholds, trusted=("recall",))
    assert (near["verdict"], far["verdict"]) == ("good", "poor")


def test_data_without_thresholds_are_not_judged():
    assert judge_generation0(GOOD, FLOOR, {})["verdict"] == "unknown"
