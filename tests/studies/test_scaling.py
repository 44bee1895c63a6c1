"""Scaling studies: known exponents and plateaus, their nulls, what is refused, the command."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from imglab.errors import InputError
from imglab.report.scaling import markdown, scaling_figure
from imglab.solvable.theory import memory
from imglab.solvable.theory.scaling import power_law
from imglab.studies.outcomes import Outcome, outcome_value
from imglab.studies.scaling.analysis import chance_of_plateau, scaling_laws
from imglab.studies.scaling.config import validate_scaling
from imglab.studies.scaling.results import answer_of, sentences
from tests.tiny_chains import TINY_IMAGE, write

SIZES = np.array([100.0, 200, 400, 800, 1600])
ZIPF = list(np.arange(1.0, 50_001) ** -1.5 / (np.arange(1.0, 50_001) ** -1.5).sum())
STUDY: dict[str, Any] = {
    "name": "study",
    "generations": 2,
    "modality": {"kind": "categories", "distribution": "zipf", "n_train": 100, "n_test": 100},
    "model": {"kind": "memorizer"},
    "measure": {"samples": 50, "floor_splits": 20},
    "sizes": {"samples": [50, 100, 200, 400, 800]},
}


def scattered(law, *, seeds=5, spread=0.02, rng=None):
    """Return errors [seeds, sizes] about a law, whose seeds scatter over all sizes together too."""
    rng = rng or np.random.default_rng(0)
    noise = rng.normal(0, spread, (seeds, len(law))) + rng.normal(0, spread, (seeds, 1))
    return np.array(law) * np.exp(noise)


def memorized(parts):
    """Return the exact errors of the memorizer on `parts(n)` (real, synthetic) items."""
    return [memory.chain_error(ZIPF, [(200, 0), parts(int(n))]) for n in SIZES]


class TestKnownLaws:
    """The memorizing model of "A Tale of Tails": exponents and levels are known exactly."""

    def test_exponents_and_a_plateau(self):
        rng = np.random.default_rng(1)
        laws = {
            "real": [memory.real_error(ZIPF, int(n)) for n in SIZES],
            "synthetic": memorized(lambda n: (0, n)),
            "mixed": memorized(lambda n: (n // 2, n // 2)),
        }
        errors = {name: scattered(law, rng=rng) for name, law in laws.items()}
        answer = scaling_laws(SIZES, errors)

        real, synthetic, mixed = answer["laws"].values()
        assert real["exponent"] == pytest.approx(memory.exponent(1.5), abs=0.03)
        assert real["low"] < real["exponent"] < real["high"]
        assert real["verdict"] == "no plateau shown"
        assert mixed["low"] > synthetic["high"]
        assert synthetic["verdict"] == "levels off"
        assert synthetic["level"] == pytest.approx(memory.real_error(ZIPF, 200), rel=0.1)
        assert answer["differences"]["synthetic"]["high"] < 0
        assert answer["differences"]["synthetic"]["p_holm"] < 0.05
        assert answer["differences"]["synthetic"]["smaller"]

    def test_intervals_cover_the_exponent(self):
        rng = np.random.default_rng(2)
        covered = 0
        for _ in range(60):
            law = power_law(SIZES, scattered(2 * SIZES**-0.4, rng=rng))
            covered += law.low < 0.4 < law.high
        assert 0.9 <= covered / 60 <= 1

    @pytest.mark.parametrize("alone", [0.0, 0.1])
    def test_a_power_law_is_called_a_plateau_as_often_as_stated(self, alone):
        """The null: p-values are uniform, whether sizes scatter together or each by itself."""
        rng = np.random.default_rng(3)
        ps = []
        for _ in range(2000):
            walk = rng.normal(0, 0.03, (5, 5)).cumsum(1) + rng.normal(0, alone, (5, 5))
            ps.append(chance_of_plateau(SIZES, 2 * SIZES**-0.4 * np.exp(walk)))
        for level in (0.01, 0.05, 0.2):
            deviation = np.sqrt(level * (1 - level) / 2000)
            assert np.mean(np.array(ps) <= level) == pytest.approx(level, abs=3 * deviation)

    def test_power(self):
        """A level of half of the last error is seen through scatter of 2%; a bend down never."""
        rng = np.random.default_rng(4)
        law = SIZES**-0.5
        ps = [chance_of_plateau(SIZES, scattered(law + 0.0125, rng=rng)) for _ in range(200)]
        assert np.mean(np.array(ps) < 0.05) > 0.8
        assert chance_of_plateau(SIZES, scattered(law - 0.005, rng=rng)) > 0.95

    def test_the_same_law_in_all_seeds_is_no_evidence(self):
        assert chance_of_plateau(SIZES, np.tile(2 * SIZES**-0.4, (5, 1))) == pytest.approx(0.5)


class TestConfig:
    def test_real_data_scale_with_their_number(self):
        study = validate_scaling(STUDY, "a.yaml")
        configs: Any = {cell: study.sweep.arms[name] for cell, name in study.cells.items()}
        assert configs["real", 400].modality.n_train == 400
        assert configs["real", 400].generations == 1
        assert configs["synthetic", 400].samples == 400
        assert configs["synthetic", 400].modality.n_train == 100
        assert configs["mixed", 400].regime.real_fraction == 0.5

    def test_each_seed_draws_data_of_its_own(self):
        runs: Any = list(validate_scaling({**STUDY, "seeds": [3, 4, 5, 6, 7]}, "a").sweep.runs())
        assert {(config.seed, config.modality.data_seed) for _, _, config in runs} == {
            (seed, seed) for seed in (3, 4, 5, 6, 7)
        }

    def test_networks_scale_by_multiples(self):
        tree = {**TINY_IMAGE, "name": "x", "sizes": {"model.channels": [1, 2, 3, 4, 5]}}
        study = validate_scaling(tree, "a.yaml")
        config: Any = study.sweep.arms[study.cells["real", 3]]
        assert config.model.channels == [24, 24]
        assert not study.sweep.new_data

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"sizes": {}}, "--over KEY --sizes"),
            ({"sizes": {"samples": [1, 2, 3, 4]}}, "has 4 different sizes"),
            ({"sizes": {"samples": [0, 1, 2, 3, 4]}}, "above 0"),
            ({"sizes": {"modality.train": [1, 2, 3, 4, 5]}}, "did you mean 'modality.n_train'"),
            ({"sizes": {"model.kind": [1, 2, 3, 4, 5]}}, "not a number"),
            ({"seeds": [0, 1, 2]}, "has 3 seeds"),
            ({"measure": {}}, "scored on different numbers"),
            ({"arms": {"a b": {}}}, "not a valid name"),
            ({"arms": {"a": {"generation": 7}}}, "there is no generation 7: chains have 2"),
            ({"arms": {"a": {"changes": {"regime": "replac"}}}}, "did you mean 'replace'"),
        ],
    )
    def test_what_is_refused(self, changes, message):
        with pytest.raises(InputError, match=message):
            validate_scaling({**STUDY, **changes}, "a.yaml")


def answered(**values):
    """Return what a study answers whose errors are those that `values` names."""
    study = validate_scaling(STUDY, "a.yaml")
    rows = {
        (name, size, seed): {"floor": {}, "reasons": {}, "test_error": float(errors[seed][j])}
        for name, errors in values.items()
        for j, size in enumerate(study.sizes)
        for seed in study.sweep.seeds
    }
    return answer_of(study, rows)


class TestAnswers:
    @pytest.mark.parametrize(("exponent", "worsens"), [(-0.2, True), (-0.5, False)])
    def test_a_smaller_exponent_is_a_definition_of_collapse(self, exponent, worsens):
        sizes = np.array([50.0, 100, 200, 400, 800])
        rng = np.random.default_rng(3)
        real = scattered(sizes**-0.5, rng=rng)
        answer = answered(real=real, synthetic=scattered(sizes**exponent, rng=rng))
        said = [line.endswith("a definition of model collapse") for line in sentences(answer)]
        assert any(said) == worsens

    def test_what_is_said_and_drawn(self):
        sizes = np.array([50.0, 100, 200, 400, 800])
        real = scattered(sizes**-0.5)
        answer = answered(real=real, synthetic=np.zeros((5, 5)))
        assert answer["metric"] == "test_error"
        lines = sentences(answer)
        assert lines[0].startswith("real (generation 0): test_error falls as samples^-0.5")
        assert "synthetic: left out: test_error is not above 0 everywhere" in lines[1]
        assert "undefined or not finished in all but 0 seeds" in lines[2]
        assert "| 50 | 0.1" in markdown(answer)
        assert len(scaling_figure(answer).axes) == 1
        json.dumps(answer, allow_nan=False)


REGRESSION: dict[str, Any] = {
    "name": "noisy",
    "generations": 1,
    "modality": {"kind": "regression", "dimensions": 5, "n_train": 20, "n_test": 50},
    "model": {"kind": "ridge", "penalty": 0.0},
    "measure": {"samples": 20, "floor_splits": 20},
    "sizes": {"modality.n_train": [100, 200, 400, 800, 1600]},
    "arms": {"real": {"generation": 0}},
}


class TestNoise:
    """Regression on labels with noise: its test error levels off although nothing collapses."""

    def answered(self, **changes):
        """Return the answer to errors whose excess is a power law over noise of 1."""
        study = validate_scaling({**REGRESSION, **changes}, "a.yaml")
        excess = scattered(5 / SIZES)
        rows = {
            ("real", size, seed): {
                **{"floor": {}, "reasons": {}, "excess_risk": float(excess[seed, j])},
                "test_error": 1 + float(excess[seed, j]),
            }
            for j, size in enumerate(study.sizes)
            for seed in study.sweep.seeds
        }
        return answer_of(study, rows)

    @pytest.mark.parametrize("changes", [{}, {"metric": "excess_risk"}])
    def test_the_excess_risk_is_read(self, changes):
        answer = self.answered(**changes)
        assert (answer["metric"], answer["left_out"]) == ("excess_risk", {})
        assert answer["laws"]["real"]["exponent"] == pytest.approx(1, abs=0.03)
        assert answer["laws"]["real"]["verdict"] == "no plateau shown"

    def test_noise_is_no_plateau(self):
        answer = self.answered(metric="test_error")
        assert answer["laws"]["real"]["verdict"] == "no plateau shown"
        assert sentences(answer)[-1].endswith("noise of the labels: ask for excess_risk")

    def test_a_metric_of_the_whole_name_wins_over_the_prefix(self):
        row = {"x": 5.0, "floor": {"x": {"mean": 1.0}}}
        assert outcome_value(row, Outcome(metric="excess_x")) == 4.0
        assert outcome_value({**row, "excess_x": 2.0}, Outcome(metric="excess_x")) == 2.0
        assert Outcome(metric="excess_risk").base == "excess_risk"


class TestCommand:
    def test_wrong_input(self, lab, tmp_path):
        config = write(tmp_path, STUDY)
        code, _, err = lab("scale", config, "--over", "modality.ntrain")
        assert code == 2
        code, _, err = lab("scale", config, "--sizes", "1,2,x")
        assert (code, "'x' is not a number" in err) == (2, True)
        assert "imglab scale" in lab("run", config)[2]
        assert "lower it, or lower samples" in lab("validate", config)[2]
        only_real = {**STUDY, "arms": {"real": {"over": "modality.n_train"}}}
        assert lab("validate", write(tmp_path, only_real))[0] == 0

    @pytest.mark.slow
    def test_a_study_from_end_to_end(self, lab, tmp_path):
        config = write(tmp_path, {**STUDY, "arms": {"real": {"over": "modality.n_train"}}})
        arguments = ["scale", config, "--set", "generations=1", "--out", "out"]
        code, out, err = lab(*arguments)
        assert code == 0, err
        answer = json.loads((tmp_path / "out/scaling.json").read_text())
        assert sentences(answer)[0] in out
        assert answer["laws"]["real"]["seeds"] == 5
        for kind in ("md", "png", "svg", "pdf"):
            assert (tmp_path / f"out/scaling.{kind}").is_file()
