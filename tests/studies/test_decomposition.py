"""Decompositions: designs, effects that closed forms know, configs, and runs from end to end."""

from __future__ import annotations

import json
import math
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from imglab import seeds
from imglab.errors import InputError
from imglab.report.decomposition import forest_figure, markdown
from imglab.report.explanations import _table
from imglab.samples import Samples, TrainingSet
from imglab.solvable.categories.modality import CategoriesModality
from imglab.solvable.categories.model import FrequenciesModel
from imglab.solvable.categories.settings import CategoriesSettings, FrequenciesSettings
from imglab.solvable.gaussian.kde import KdeModel
from imglab.solvable.gaussian.mixture import MixtureModel
from imglab.solvable.gaussian.modality import GaussianModality
from imglab.solvable.gaussian.model import GaussianModel
from imglab.solvable.gaussian.settings import (
    GaussianDataSettings,
    GaussianModelSettings,
    KdeSettings,
    MixtureSettings,
)
from imglab.solvable.regression.modality import RegressionModality
from imglab.solvable.regression.model import RidgeModel
from imglab.solvable.regression.settings import RegressionDataSettings, RidgeSettings
from imglab.solvable.theory.gaussian import log_variance
from imglab.store.reading import metric_names
from imglab.studies.decomposition.analysis import estimate_effects
from imglab.studies.decomposition.config import load_decomposition, validate_decomposition
from imglab.studies.decomposition.design import Effect, make_design
from imglab.studies.decomposition.results import decompose, sentences
from imglab.studies.decomposition.run import ORIGINS, DecompositionRun
from imglab.studies.jobs import Job, Place
from imglab.studies.jobs import Outcome as Ended
from imglab.studies.outcomes import NAMES, Outcome, outcome_value
from imglab.studies.sweeps import estimate
from tests.running.test_cost import MEASURED
from tests.tiny_chains import TINY_GAUSSIAN, write

A = Effect((("a", 1),))
B = Effect((("b", 1),))
C = Effect((("c", 1),))
AB = Effect((("a", 1), ("b", 1)))
BC = Effect((("b", 1), ("c", 1)))


def estimates(design, outcomes) -> dict[Effect, float]:
    values = np.array([outcomes(*cell) for cell in design.cells])
    return dict(zip(design.effects, design.weights @ values, strict=True))


class TestDesigns:
    def test_a_main_effect_is_averaged_over_the_other_factor(self):
        effects = estimates(
            make_design({"a": 2, "b": 2}), lambda a, b: 10 + 3 * a + 5 * b + 2 * a * b
        )
        assert effects[A] == pytest.approx(3 + 2 / 2)
        assert effects[B] == pytest.approx(5 + 2 / 2)
        assert effects[AB] == pytest.approx(2)

    def test_each_level_is_compared_with_the_reference(self):
        effects = estimates(make_design({"a": 3, "b": 2}), lambda a, b: (0, 4, -1)[a] + b)
        assert effects[A] == pytest.approx(4)
        assert effects[Effect((("a", 2),))] == pytest.approx(-1)
        assert effects[AB] == pytest.approx(0)

    def test_an_interaction_of_three_factors_does_not_reach_the_effects_of_two(self):
        # It is absent on average: +1 in half of the cells, -1 in the others.
        effects = estimates(
            make_design({"a": 2, "b": 2, "c": 2}), lambda a, b, c: (-1) ** (a + b + c)
        )
        assert max(map(abs, effects.values())) < 1e-12

    def test_half_of_three_factors_says_what_it_mixes(self):
        design = make_design({"a": 2, "b": 2, "c": 2}, "fractional")
        assert design.cells == ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0))
        assert design.aliases[A] == {BC: pytest.approx(-0.5)}
        effects = estimates(design, lambda a, b, c: 3 * a + 2 * b * c)
        assert effects[A] == pytest.approx(3 - 0.5 * 2)

    def test_half_of_five_factors_tells_all_pairs_apart(self):
        design = make_design(dict.fromkeys("abcde", 2), "fractional")
        assert len(design.cells) == 16
        assert len(design.effects) == 5 + 10
        assert not design.aliases

    def test_levels_of_different_number_have_a_fraction_too(self):
        design = make_design({"a": 3, "b": 2, "c": 2}, "fractional")
        effects = estimates(design, lambda a, b, c: (0, 4, -1)[a] + 2 * b - c)
        assert effects == {A: pytest.approx(4), Effect((("a", 2),)): pytest.approx(-1)} | {
            B: pytest.approx(2),
            C: pytest.approx(-1),
        }

    def test_half_of_two_factors_is_too_little(self):
        with pytest.raises(ValueError, match="cannot tell the main effects"):
            make_design({"a": 2, "b": 2}, "fractional")


LABELS = {"a": ["1x", "10x"], "b": ["small", "large"], "c": ["mle", "unbiased"]}


class TestIntervals:
    """Refits of a normal distribution, simulated by the law of their variances.

    ln s_t^2 is the sum of t independent ln(chi2_{n-1} / (n - ddof)). Factor b does nothing.
    """

    fits = 8
    repetitions = 400

    @pytest.fixture(scope="class")
    @classmethod
    def answers(cls):
        design = make_design({"a": 2, "b": 2, "c": 2})
        random = np.random.default_rng(0)
        laws = [((10, 100)[a], c) for a, _, c in design.cells]

        size = (cls.repetitions, 6, cls.fits)
        columns = [np.log(random.chisquare(n - 1, size) / (n - ddof)).sum(2) for n, ddof in laws]
        values = np.stack(columns, 2)  # [repetitions, seeds, cells]
        truth = design.weights @ [log_variance(n, cls.fits, ddof) for n, ddof in laws]
        return truth, [estimate_effects(design, each, LABELS) for each in values]

    def test_they_cover_the_closed_form(self, answers):
        truth, decompositions = answers
        for number, expected in enumerate(truth):
            effects = [effects[number] for effects in decompositions]
            covered = np.mean([each["low"] <= expected <= each["high"] for each in effects])
            assert 0.92 <= covered <= 0.98, effects[0]["name"]

    def test_a_factor_that_does_nothing_has_no_effect(self, answers):
        truth, decompositions = answers
        nulls = [number for number, value in enumerate(truth) if abs(value) < 1e-12]
        names = [decompositions[0][number]["name"] for number in nulls]
        assert "b large" in names
        assert len(names) == 3  # and its two interactions

        for number in nulls:
            alarms = np.mean([effects[number]["p"] < 0.05 for effects in decompositions])
            assert 0.02 <= alarms <= 0.08, names
        verdicts = [[effects[number]["verdict"] for number in nulls] for effects in decompositions]
        assert np.mean([set(each) != {"no effect shown"} for each in verdicts]) <= 0.05

    def test_the_wider_intervals_hold_for_all_effects_at_once(self, answers):
        truth, decompositions = answers
        all_covered = [
            all(
                each["simultaneous_low"] <= expected <= each["simultaneous_high"]
                for each, expected in zip(effects, truth, strict=True)
            )
            for effects in decompositions
        ]
        assert np.mean(all_covered) >= 0.93

    def test_the_number_of_samples_is_seen(self, answers):
        verdicts = [effects[0]["verdict"] for effects in answers[1]]
        assert verdicts.count("raises") > 0.4 * self.repetitions
        assert "lowers" not in verdicts

    def test_few_seeds_give_no_verdict_and_a_broken_seed_is_left_out(self):
        design = make_design({"a": 2})
        values = np.array([[0.0, 1.0], [0.0, 1.1], [0.0, 0.9], [0.0, 1.0], [np.nan, 1.0]])
        (effect,) = estimate_effects(design, values, LABELS)
        assert effect["n"] == 4
        assert effect["verdict"] == "open: 4 seeds, 5 are needed"
        assert effect["estimate"] == pytest.approx(1.0)

    def test_cells_that_are_equal_to_the_bit_have_no_effect(self):
        values = np.random.default_rng(0).normal(size=(6, 1)).repeat(4, axis=1)
        effects = estimate_effects(make_design({"a": 2, "b": 2}), values, LABELS)
        assert [each["estimate"] for each in effects] == [0, 0, 0]
        assert {each["verdict"] for each in effects} == {"no effect shown"}


def refitted(model, real: Samples, n: int, generations: int, seed: int):
    """Fit a model to real data, and again and again to n draws from its last fit; return it."""
    train = TrainingSet.of(real)
    for g in range(generations + 1):
        fitting = model.fit(train, start=None, seed=seed)
        try:
            while True:
                next(fitting)
        except StopIteration as end:
            model = end.value
        noise = seeds.derive(seed, g)
        drawn = list(model.draw(range(n), conditions=None, seed=noise))
        train = TrainingSet.of(Samples.concatenate(drawn))
    return model


def measured(design, cell_value, number: int) -> np.ndarray:
    return np.array([[cell_value(cell, seed) for cell in design.cells] for seed in range(number)])


def check_effects(design, values, expected, *, null=()) -> None:
    """Compare each effect's simultaneous interval with the closed form's, and its size."""
    truth = design.weights @ np.array([expected(cell) for cell in design.cells])
    labels = {name: ["0", "1"] for name in "ab"}
    for effect, value in zip(estimate_effects(design, values, labels), truth, strict=True):
        assert effect["simultaneous_low"] <= value <= effect["simultaneous_high"], effect["name"]
        if effect["name"] in null:
            assert value == pytest.approx(0)
            assert effect["verdict"] == "no effect shown"


class TestClosedForms:
    """The lab's own models, whose chains under `replace` are solved."""

    generations = 3
    design = make_design({"a": 2, "b": 2})
    sizes = (20, 60)

    def test_maximum_likelihood(self):
        """E ln s^2 differs by g [psi((n-1)/2) + ln(2/n)]; generation 0's fit is the same."""
        data = GaussianModality(GaussianDataSettings(dimensions=1, n_train=20))

        def value(cell, seed):
            settings = GaussianModelSettings(estimator=("mle", "unbiased")[cell[1]])
            model = GaussianModel(settings, data)
            fitted = refitted(model, data.real("train"), self.sizes[cell[0]], 3, seed)
            return math.log(fitted.moments[1].item())

        def expected(cell):
            later = log_variance(self.sizes[cell[0]], self.generations, cell[1])
            return log_variance(20, 1, cell[1]) + later

        values = measured(self.design, value, 20)
        check_effects(self.design, values, expected)

        # Samples lift the variance; so does the unbiased estimator, by ln(n / (n-1)) a fit.
        effects = estimate_effects(self.design, values, {name: ["0", "1"] for name in "ab"})
        assert [each["verdict"] for each in effects[:2]] == ["raises", "raises"]

    @pytest.mark.slow
    def test_capacity_that_the_data_do_not_need(self):
        """A mixture keeps the moments of its training set, whatever its components are."""
        data = GaussianModality(GaussianDataSettings(dimensions=2, n_train=20))

        def value(cell, seed):
            model = MixtureModel(MixtureSettings(components=1 + cell[1]), data)
            fitted = refitted(model, data.real("train"), self.sizes[cell[0]], 2, seed)
            return fitted.moments[1].diagonal().mean().item()

        def expected(cell):
            fitted = refitted(
                GaussianModel(GaussianModelSettings(), data), data.real("train"), 2, 0, 0
            )
            return fitted.moments[1].diagonal().mean().item() * (1 - 1 / self.sizes[cell[0]]) ** 2

        null = ("b 1", "a 1 and b 1")
        check_effects(self.design, measured(self.design, value, 8), expected, null=null)

    def test_bandwidth(self):
        """V_{t+1} = (1 - 1/n) V_t + h^2, from V_1 = s^2 + h^2."""
        data = GaussianModality(GaussianDataSettings(dimensions=1, n_train=20))
        bandwidths = (0.1, 0.5)

        def value(cell, seed):
            model = KdeModel(KdeSettings(bandwidth=bandwidths[cell[1]]), data)
            fitted = refitted(model, data.real("train"), self.sizes[cell[0]], 3, seed)
            return fitted.moments[1].item()

        def expected(cell):
            variance = data.real("train").data.var(correction=0).item() + bandwidths[cell[1]] ** 2
            for _ in range(self.generations):
                variance *= 1 - 1 / self.sizes[cell[0]]
                variance += bandwidths[cell[1]] ** 2
            return variance

        values = measured(self.design, value, 20)
        check_effects(self.design, values, expected)
        effects = estimate_effects(self.design, values, {name: ["0", "1"] for name in "ab"})
        assert effects[1]["verdict"] == "raises"

    def test_categories(self):
        """The heterozygosity falls by 1 - 1/n in each generation (Wright 1931)."""
        data = CategoriesModality(CategoriesSettings(categories=30, n_train=200))
        design = make_design({"a": 2})

        def value(cell, seed):
            model = FrequenciesModel(FrequenciesSettings(), data)
            fitted = refitted(model, data.real("train"), self.sizes[cell[0]], 3, seed)
            return 1 - fitted.frequencies.square().sum().item()

        def expected(cell):
            counts = torch.bincount(data.real("train").data[:, 0]).double()
            first = 1 - (counts / counts.sum()).square().sum().item()
            return first * (1 - 1 / self.sizes[cell[0]]) ** self.generations

        values = measured(design, value, 20)
        check_effects(design, values, expected)
        assert estimate_effects(design, values, {"a": ["1x", "3x"]})[0]["verdict"] == "raises"

    def test_regression(self):
        """The excess risk grows by sigma^2 d / (n-d-1) a generation (Gerstgrasser et al. 2024)."""
        d = 5
        design = make_design({"a": 2})

        def value(cell, seed):
            settings = {"dimensions": d, "n_train": 20, "inputs": "fresh", "data_seed": seed}
            data = RegressionModality(RegressionDataSettings.model_validate(settings))
            model = RidgeModel(RidgeSettings(), data)
            fitted = refitted(model, data.real("train"), self.sizes[cell[0]], 3, seed)
            return (fitted.coefficients - data.coefficients).square().sum().item()

        def expected(cell):
            return d / (20 - d - 1) + self.generations * d / (self.sizes[cell[0]] - d - 1)

        values = measured(design, value, 40)
        check_effects(design, values, expected)
        assert estimate_effects(design, values, {"a": ["1x", "3x"]})[0]["verdict"] == "lowers"


TINY: dict[str, Any] = {
    "name": "tiny",
    "base": {**TINY_GAUSSIAN, "regime": "replace", "generations": 2, "shown": 4},
    "factors": {
        "statistical": {"key": "samples", "levels": ["1x", "3x"]},
        "approximation": {"key": "model.estimator", "levels": ["mle", "unbiased"], "since": 1},
    },
    "seeds": [0, 1],
    "outcomes": [{"metric": "variance", "scale": "log"}, "excess_fid"],
}


def changed(**changes) -> dict[str, Any]:
    return {**TINY, **changes}


def with_factor(**factor) -> dict[str, Any]:
    return changed(factors={"f": factor})


class TestConfigs:
    def test_cells_are_what_the_levels_say(self):
        config = validate_decomposition(TINY, "a.yaml")
        assert list(config.cells) == ["cell-0-0", "cell-0-1", "cell-1-0", "cell-1-1"]
        arm = config.sweep.arms["cell-1-1"]
        assert (arm.samples, arm.model.model_dump()["estimator"]) == (90, "unbiased")
        assert config.generation == 1

        # Cells that differ in what follows generation 0 alone take it from one run.
        names = {cell: origin.name for cell, origin in config.origins.items()}
        assert names["cell-1-0"] == names["cell-1-1"] == "origin-1-x"
        assert config.origins["cell-1-1"].model.model_dump()["estimator"] == "mle"

    def test_levels_may_change_several_keys_and_multiply_lists(self):
        base = {
            "generations": 2,
            "modality": "image",
            "model": {"kind": "diffusion", "channels": [16, 32]},
        }
        factors = {
            "capacity": {
                "key": "model.channels",
                "levels": ["1x", "0.5x"],
                "error": "expressivity",
            },
            "effort": {
                "error": "approximation",
                "levels": {"short": {}, "long": {"model": {"steps": 50}, "model.ema": 0.9}},
            },
        }
        config = validate_decomposition(changed(base=base, factors=factors), "a.yaml")
        model = config.sweep.arms["cell-1-1"].model.model_dump()
        assert (model["channels"], model["steps"], model["ema"]) == ([8, 16], 50, 0.9)
        assert config.labels["effort"] == ["short", "long"]

    def test_a_base_is_a_file_too_and_changes_reach_it(self, tmp_path):
        write(tmp_path, {**TINY_GAUSSIAN, "regime": "replace"}, "chain")
        path = write(tmp_path, changed(base="chain.yaml"), "decomposition")
        config = load_decomposition(path, ["base.modality.n_train=50", "generation=4"])
        assert config.generation == 4
        assert config.sweep.arms["cell-1-0"].samples == 150
        assert config.sweep.arms["cell-1-0"].generations == 5

    @pytest.mark.parametrize(
        ("tree", "messages"),
        [
            (
                with_factor(key="model.estimater", levels=["mle", "unbiased"]),
                ["a.yaml: all levels: model.estimater: unknown key (did you mean 'estimator'?)"],
            ),
            (
                with_factor(key="model.estimator", levels=["mle", "unbised"]),
                ["factors.f, level unbised: model.estimator", "did you mean 'unbiased'?"],
            ),
            (
                with_factor(key="model.width", levels=["1x", "2x"]),
                ["a.yaml: factors.f.key: the base has no key model.width"],
            ),
            (with_factor(key="samples", levels=["1x"]), ["a factor has 2 to 9 levels"]),
            (with_factor(levels=[1, 2]), ["a.yaml: factors.f: ", "name one under `key`"]),
            (
                with_factor(key="model.estimator", levels=["1x", "2x"]),
                ["'mle' in the base, of which there is no multiple"],
            ),
            (
                with_factor(key="samples", levels=["1x", 30]),
                ["a.yaml: factors.f.levels: level 30 changes nothing (levels must differ)"],
            ),
            (
                with_factor(key="modality.n_test", levels=[30, 60]),
                ["a.yaml: factors.f.key: a factor cannot change modality.n_test: cells have"],
            ),
            (changed(seeds=[0]), ["a.yaml: seeds: an interval needs 2 seeds, a verdict 5"]),
            (changed(seeds=[0, 0]), ["a.yaml: seeds: has 0 twice"]),
            (
                changed(outcomes=["excess_fidd"]),
                ["a.yaml: outcomes.0.metric: nothing measures excess_fidd (did you mean 'fid'?)"],
            ),
            (changed(outcomes=["fid", "fid"]), ["a.yaml: outcomes.1.metric: fid is there twice"]),
            (
                changed(design="fractional"),
                ["a.yaml: design: these cells cannot tell", "use design: full, or add a factor"],
            ),
            (changed(base={**TINY["base"], "generations": 1}), ["a.yaml: base.generations: "]),
            (changed(base={"arms": {}}), ["a.yaml: base.arms: is a config of several runs"]),
            (changed(base={**TINY["base"], "regimee": 1}), ["a.yaml: base: regimee: unknown key"]),
            (changed(factor=1), ["a.yaml: factor: unknown key (did you mean 'factors'?)"]),
        ],
    )
    def test_wrong_ones_name_key_and_remedy(self, tree, messages):
        with pytest.raises(InputError) as caught:
            validate_decomposition(tree, "a.yaml")
        for message in messages:
            assert message in str(caught.value)

    def test_more_samples_must_not_mean_more_training(self):
        base = {"modality": "image", "model": {"kind": "diffusion", "training": {"epochs": 3.0}}}
        factors = {"statistical": {"key": "samples", "levels": [100, 300]}}
        with pytest.raises(InputError, match=r"base\.model\.training\.epochs: a budget in epochs"):
            validate_decomposition(changed(base=base, factors=factors), "a.yaml")


def row(value, size=100, **others):
    floor = {"fid": {"mean": 2.0, "sd": 1.0}}
    return {"fid": value, "n_synthetic": size, "floor": floor, "reasons": {}, **others}


def rows_of(config, values):
    """Return rows whose `fid` comes from (cell, seed) by `values`."""
    return {
        (name, seed): row(values(cell, seed))
        for name, cell in config.cells.items()
        for seed in config.sweep.seeds
    }


class TestAnswers:
    def config(self, **changes):
        keys = {"seeds": list(range(6)), "outcomes": ["excess_fid"], **changes}
        return validate_decomposition(changed(**keys), "a.yaml")

    def test_effects_are_said_and_drawn(self):
        config = self.config()
        answer = decompose(config, rows_of(config, lambda cell, seed: 10 - 4 * cell[0] + seed % 2))
        effect, *others = answer["outcomes"]["excess_fid"]["effects"]
        assert (effect["name"], effect["estimate"]) == ("statistical 3x", pytest.approx(-4))
        assert effect["verdict"] == "lowers"
        assert {each["verdict"] for each in others} == {"no effect shown"}
        assert answer["outcomes"]["excess_fid"]["cells"]["cell-0-0"]["mean"] == pytest.approx(8.5)

        json.dumps(answer, allow_nan=False)
        assert "  statistical 3x: -4 (-4 to -4): lowers" in sentences(answer)
        assert "| statistical 3x | -4 | -4 to -4 |" in markdown(answer)
        (panel,) = forest_figure(answer).axes
        assert len(panel.get_yticklabels()) == 3

    def test_three_outcomes_lie_beside_each_other_and_no_panel_is_empty(self):
        config = self.config()
        answer = decompose(config, rows_of(config, lambda cell, seed: 1.0 + seed))
        (outcome,) = answer["outcomes"].values()
        answer["outcomes"] = dict.fromkeys(["a", "b", "c", "d", "e"], outcome)

        panels = forest_figure(answer).axes
        assert [panel.get_title() for panel in panels] == ["a", "b", "c", "d", "e"]
        heights = [round(panel.get_position().y0, 6) for panel in panels]
        assert heights[0] == heights[1] == heights[2] > heights[3] == heights[4]

    def test_a_metric_of_other_sizes_is_left_out(self):
        config = self.config(outcomes=["excess_fid", "variance"])
        rows = rows_of(config, lambda cell, seed: 1.0)
        for (name, _), each in rows.items():
            each["variance"] = 1.0
            each["n_synthetic"] = 100 + 200 * config.cells[name][0]

        answer = decompose(config, rows)
        assert "cells scored 100, 300" in answer["left_out"]["excess_fid"]
        assert "base.measure.samples" in answer["left_out"]["excess_fid"]
        assert list(answer["outcomes"]) == ["variance"]

    @pytest.mark.parametrize(
        ("outcome", "change", "reason"),
        [
            ("perplexity", {}, "these runs do not measure perplexity"),
            ("recall", {"recall": None, "reasons": {"recall": "too few"}}, "too few"),
            ({"metric": "excess_fid", "scale": "log"}, {"fid": 1.0}, "not positive"),
            ("excess_fid", {"floor": {}}, "fid or its floor is undefined"),
        ],
    )
    def test_an_outcome_without_numbers_is_left_out_with_the_reason(self, outcome, change, reason):
        config = self.config(outcomes=[outcome])
        rows = {key: {**each, **change} for key, each in rows_of(config, lambda *_: 3.0).items()}
        answer = decompose(config, rows)
        assert not answer["outcomes"]
        (why,) = answer["left_out"].values()
        assert reason in why
        assert reason in markdown(answer)

    def test_names_lead_into_tables_and_lists(self):
        values = row(5.0, recall_by_decile=[0.1, 0.9], word_survival={"2-3": 0.4})
        assert outcome_value(values, Outcome(metric="recall_by_decile[1]")) == 0.9
        assert outcome_value(values, Outcome(metric="word_survival.2-3")) == 0.4
        assert outcome_value(values, Outcome(metric="excess_fid")) == 3.0
        assert outcome_value(values, Outcome(metric="recall_by_decile[7]")) is None

    def test_a_poor_generation_0_is_said(self):
        config = self.config()
        rows = rows_of(config, lambda cell, seed: float(seed))
        rows["cell-0-0", 0]["generation0"] = {"verdict": "poor", "reasons": ["x"]}
        assert sentences(decompose(config, rows))[-1].startswith("generation 0 is poor in 1 runs")


NO_NUMBER = {
    *("generation0", "further_training", "share_disparity_class"),
    *("class_accuracy", "class_counts_low", "class_counts_high"),
    *("group_counts_low", "group_counts_high", "recall_by_group_of_real"),
    *("group_recall_disparity_group", "group_share_disparity_group"),
    *("class_survival_by_chance", "word_survival_by_chance"),
}
"""What the page explains beside numbers of the samples: judgements, intervals, chance."""


def test_every_metric_that_the_page_explains_may_be_an_outcome():
    explained = {name for name in _table() if not name.endswith("_interval")}
    assert explained - NO_NUMBER <= set(NAMES)
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize(
    "name", ["facts_alive", "class_counts.8", "categories_alive", "excess_fid"]
)
def test_what_grows_with_the_number_that_is_scored_needs_one_size(name):
    assert Outcome(metric=name).needs_size
    assert not Outcome(metric="perplexity").needs_size


def test_an_outcome_that_is_several_numbers_is_refused_before_it_runs():
    with pytest.raises(InputError, match=r"class_counts is several numbers \(name one of them"):
        validate_decomposition(changed(outcomes=["class_counts"]), "a.yaml")
    validate_decomposition(changed(outcomes=["class_counts.8", "recall_by_decile[0]"]), "a.yaml")


class Here(Place):
    """Runs each job at once, in this process."""

    def __init__(self, workers, threads=1):
        self.at_once = workers

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def submit(self, name, job):
        future: Future[Ended] = Future()
        future.set_result(job.run())
        return future


class TestRuns:
    @pytest.mark.slow
    def test_cells_fork_generation_0_and_go_on(self, lab, tmp_path, monkeypatch):
        monkeypatch.setattr("imglab.studies.decomposition.run.Pool", Here)
        tree = changed(factors={"approximation": TINY["factors"]["approximation"]})
        config = write(tmp_path, tree)
        code, out, err = lab("decompose", config, "--out", "out")
        assert (code, err) == (0, "")
        assert "variance in generation 1 (log scale):" in out
        assert "approximation unbiased: " in out
        # Two cells of two seeds with two generations each, and the two that they fork.
        assert "origin-x/seed-1 done: 2 of 10 generations finished" in out

        first, second = (tmp_path / f"out/cell-{k}/seed-1" for k in (0, 1))
        assert (first / "fork.json").is_file()
        manifests = [(run / "generation_000/manifest.json").read_bytes() for run in (first, second)]
        assert manifests[0] == manifests[1]
        assert (tmp_path / "out" / ORIGINS / "origin-x/seed-1").is_dir()

        # The same command finds everything finished, and says the same.
        code, again, _ = lab("decompose", config, "--out", "out", "--json")
        assert code == 0
        assert json.loads(again) == json.loads((tmp_path / "out/decomposition.json").read_text())
        files = [f"decomposition.{kind}" for kind in ("md", "png", "svg", "pdf")]
        assert all((tmp_path / "out" / name).is_file() for name in [*files, "report.html"])

        rows = json.loads((first / "generation_001/metrics.json").read_text())
        assert set(metric_names([rows])) <= set(NAMES)

    def test_what_is_left_is_estimated(self, tmp_path, monkeypatch):
        """A forked cell costs its later generations: here 8.5 seconds of 4 + 2 + 1 + .5 + 1."""
        tree = changed(factors={"approximation": TINY["factors"]["approximation"]})
        config = load_decomposition(write(tmp_path, tree), [])
        whole = DecompositionRun(config, tmp_path / "out")
        assert whole.expected_cost("x") is None, "it is quickly done"

        monkeypatch.setattr(estimate, "WORTH_PROBING", 0)
        monkeypatch.setattr(estimate, "probe", lambda *_: replace(MEASURED, grows=False))
        cost = whole.expected_cost("x")
        assert cost is not None
        # Generation 0 is made twice, by runs of 24.5 seconds that share the 10 of what is prepared.
        assert cost.seconds == pytest.approx(2 * 24.5 - 10 + 4 * 8.5)

        # A fork begins with one generation finished.
        monkeypatch.setattr("imglab.store.layout.count_finished", lambda run: 1)
        cost = whole.expected_cost("x")
        assert cost is not None
        assert cost.seconds == pytest.approx(4 * 8.5)
        monkeypatch.setattr("imglab.store.layout.count_finished", lambda run: 2)
        assert whole.expected_cost("x") is None

    def test_cells_share_the_end_of_the_run_that_they_wait_for(self, lab, tmp_path, monkeypatch):
        monkeypatch.setattr("imglab.studies.decomposition.run.Pool", Here)
        stopped = Job(Ended, (3, "stopped"))
        monkeypatch.setattr(
            "imglab.studies.decomposition.run.chain_job", lambda *arguments: stopped
        )
        tree = changed(factors={"approximation": TINY["factors"]["approximation"]})
        code, _, err = lab("decompose", write(tmp_path, tree), "--out", "out")
        assert code == 3
        assert err.splitlines() == [
            f"cell-{k}/seed-{seed}: stopped" for seed in (0, 1) for k in (0, 1)
        ]

    def test_wrong_input_has_exit_code_2(self, lab, tmp_path):
        config = write(tmp_path, with_factor(key="model.estimater", levels=["mle", "unbiased"]))
        code, _, err = lab("decompose", config)
        assert code == 2
        assert "did you mean 'estimator'?" in err
        code, _, err = lab("run", write(tmp_path, TINY))
        assert code == 2
        assert "imglab decompose" in err

    def test_the_configs_that_ship_have_their_cells(self, configs):
        for name in ("gaussian", "digits", "digits_8x8", "text"):
            path = configs / f"decompose_{name}.yaml"
            config = load_decomposition(path)
            assert {factor.error or label for label, factor in config.factors.items()} == {
                "statistical",
                "expressivity",
                "approximation",
            }
            for profile in yaml.safe_load(path.read_text()).get("profiles", {}):
                assert load_decomposition(path, [f"profile={profile}"]).cells
