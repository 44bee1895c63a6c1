"""Sweeps: bands, contrasts and the generation that leaves the control."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from imglab.studies.sweeps import statistics
from imglab.studies.sweeps.config import CONTROL
from imglab.studies.sweeps.results import compare, corrected, sentence, summarise, values_of
from tests.studies.tiny_sweep import rows


class TestStatistics:
    def test_a_paired_contrast_is_the_t_test(self):
        one, two = np.random.default_rng(0).normal(size=(2, 8))
        found, scipy = statistics.paired(one, two), stats.ttest_rel(one, two)
        assert found.p == pytest.approx(scipy.pvalue)
        low, high = scipy.confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((low, high))

    def test_bands_cover_as_often_as_they_say_in_every_generation(self):
        # The spread grows a hundredfold, as that of a recall on its way to zero does.
        generator, spreads = np.random.default_rng(1), np.array([0.02, 0.2, 2.0])
        hit = np.zeros(3)
        for _ in range(1_500):
            values = np.exp(generator.normal(-0.5, spreads, size=(5, 3)))
            band = statistics.band(values)
            hit += ((band.low < np.exp(-0.5)) & (band.high > np.exp(-0.5))) / 1_500
        assert ((hit > 0.93) & (hit < 0.97)).all(), hit

    def test_one_seed_has_no_band(self):
        band = statistics.band(np.array([[2.0, np.nan], [np.nan, 3.0]]))
        assert band.mean == pytest.approx([2, 3])
        assert np.isnan([band.low, band.high]).all()

    def test_the_control_rarely_leaves_its_own_band(self):
        generator = np.random.default_rng(2)
        alarms = [
            statistics.false_alarm_rate(np.exp(generator.normal(size=(6, 5)))) for _ in range(100)
        ]
        assert 0.005 < np.mean(np.array(alarms, dtype=float)) < 0.08

    def test_leaving_is_for_good(self):
        control = np.array([[1.0, 1.0, 1.0, 1.0], [1.1, 1.1, 1.1, 1.1], [0.9, 0.9, 0.9, 0.9]])
        arm = np.array(
            [[1.0, 9.0, 9.0, 9.0], [1.0, 9.0, 1.0, 1.0], [9.0, 1.0, 1.0, 9.0], [9.0, 9.0, 9.0, 9.0]]
        )
        assert statistics.first_leaves(arm, control) == [1, None, 3, 0]

    def test_what_is_undefined_claims_nothing(self):
        nothing = np.full((3, 2), np.nan)
        assert np.isnan(statistics.band(nothing).mean).all()
        assert statistics.first_leaves(nothing, nothing) == [None] * 3
        found = statistics.paired(nothing[:, 0], nothing[:, 0])
        assert (found.n, found.low, found.high) == (0, -np.inf, np.inf)
        assert statistics.mean_interval(np.array([1.0])).low == -np.inf

    @given(st.lists(st.floats(-100, 100), min_size=2, max_size=20))
    def test_an_interval_holds_its_mean(self, values):
        found = statistics.mean_interval(np.array(values))
        assert found.low <= found.estimate + 1e-9
        assert found.high >= found.estimate - 1e-9


def test_a_contrast_pairs_seeds_and_needs_five():
    sweep = {
        "a": {seed: rows([1.0, 2.0 + seed]) for seed in range(5)},
        "b": {seed: rows([1.0, 1.0 + seed / 2]) for seed in range(5)},
    }
    answer = compare(sweep, {"metric": "fid", "arms": ["a", "b"], "generation": None})
    assert (answer["scale"], answer["n"], answer["verdict"]) == ("ratio", 5, "a is higher")
    assert answer["estimate"] == pytest.approx(2.0)
    few = {arm: {seed: found[seed] for seed in range(4)} for arm, found in sweep.items()}
    assert (
        compare(few, {"metric": "fid", "arms": ["a", "b"]})["verdict"]
        == "open: 4 seeds, 5 are needed"
    )
    assert "x2" in sentence(answer)
    assert values_of(sweep["a"], "fid").shape == (5, 2)


class TestManyContrasts:
    def test_holm_is_the_textbook_procedure(self):
        corrected = statistics.holm([0.01, 0.04, 0.03, None])
        assert corrected == [pytest.approx(0.04), pytest.approx(0.09), pytest.approx(0.09), None]
        assert statistics.holm([0.5, 0.9]) == [1.0, 1.0]
        assert statistics.holm([]) == []

    def test_a_verdict_follows_the_corrected_value_and_the_raw_one_is_still_shown(self):
        values = [1.2, 4.0, 1.5, 3.0, 1.0, 2.0]
        noisy = {seed: rows([1.0, value]) for seed, value in enumerate(values)}
        sweep = {
            "a": noisy,
            "b": {seed: rows([1.0, 1.0 + 0.01 * seed]) for seed in range(6)},
            "c": {seed: rows([1.0, 9.0 + 0.01 * seed]) for seed in range(6)},
        }
        questions = [{"metric": "fid", "arms": ["a", "b"]}, {"metric": "fid", "arms": ["c", "b"]}]
        alone = compare(sweep, questions[0])
        answers = corrected([compare(sweep, question) for question in questions * 3])
        assert alone["p"] == answers[0]["p"] < 0.05 < answers[0]["p_holm"]
        assert alone["verdict"] == "a is higher"
        assert answers[0]["verdict"] == "no difference shown once corrected for 6 contrasts"
        assert answers[1]["verdict"] == "c is higher"
        assert "corrected" in sentence(answers[0])

    def test_a_sweep_without_differences_rarely_shows_any(self):
        generator = np.random.default_rng(7)
        questions = [
            {"metric": "fid", "arms": arms, "generation": 0}
            for arms in (["a", "b"], ["a", "c"], ["b", "c"], ["a", "d"], ["b", "d"])
        ]
        shown = {"raw": 0, "corrected": 0}
        for _ in range(300):
            drawn = np.exp(generator.normal(0, 0.3, size=(4, 5)))
            sweep = {
                arm: {seed: rows([value]) for seed, value in enumerate(of_arm)}
                for arm, of_arm in zip("abcd", drawn, strict=True)
            }
            raw = [compare(sweep, question) for question in questions]
            for name, answers in (("raw", raw), ("corrected", corrected(raw))):
                shown[name] += any(
                    each["verdict"].endswith(("higher", "lower")) for each in answers
                )
        # A family-wise error of 5% shows at most 26 in 300 with a chance of 99.8%.
        assert shown["corrected"] <= 26 < shown["raw"]


def test_scores_at_different_sizes_are_not_compared():
    """A curated arm draws more than the control: its Frechet distance is of another number of
    samples.
    """
    ours, theirs = ({seed: rows([1.0 + seed, 2.0 + seed]) for seed in range(5)} for _ in range(2))
    floor = {"fid": None, "variance_ratio": {"mean": 1.0, "sd": 0.1}}
    for found in ours.values():
        for row in found:
            change = 1.0 + row["generation"]
            row.update(n_synthetic=1400, floor=floor, perplexity=3 + change, variance_ratio=change)
    for found in theirs.values():
        for row in found:
            row.update(n_synthetic=700, floor=floor, perplexity=4.0, variance_ratio=1.0)
    sweep = {"a": ours, CONTROL: theirs}
    for found in (*ours.values(), *theirs.values()):
        for row in found:
            row.update(headline=["fid"], reasons={})
    summary = summarise(
        sweep,
        [
            {"metric": name, "arms": ["a", CONTROL]}
            for name in ("fid", "perplexity", "variance_ratio", "fdi")
        ],
    )
    fid, perplexity, variance, unknown = (answer["verdict"] for answer in summary["contrasts"])
    assert fid.startswith("open: fid was measured at different numbers of samples")
    assert perplexity == variance == "a is higher"
    assert unknown == "open: there is no number 'fdi': did you mean 'fid'?"
    assert summary["leaves_control"]["a"]["fid"]["first"] is None
    assert summary["leaves_control"]["a"]["perplexity"]["first"] == [1] * 5


def test_a_seed_that_never_leaves_is_the_latest():
    leaving = [[1.0, 9.0, 9.0], [1.0, 1.0, 9.0], [1.0, 1.0, 1.0]]
    control = {seed: rows([1.0 + 0.01 * seed] * 3) for seed in range(5)}
    for seeds, lead in (([0, 1, 2], 0.0), ([0, 0, 1], 1.0), ([0, 2, 2], None)):
        arm = {number: rows(leaving[seed]) for number, seed in enumerate(seeds)}
        for found in (*arm.values(), *control.values()):
            for row in found:
                row.update(headline=["fid"], reasons={})
        assert (
            summarise({"a": arm, CONTROL: control}, [])["leaves_control"]["a"]["fid"]["before_end"]
            == lead
        )
