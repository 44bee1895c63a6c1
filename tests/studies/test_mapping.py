"""Maps: axes, searches along columns, exact boundaries, what is refused, the command."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq

from imglab.errors import InputError
from imglab.measure.gate import judge_generation0
from imglab.report.mapping import map_figure, map_page, page_of
from imglab.solvable.theory.gaussian import fresh_mix_mle
from imglab.solvable.theory.regression import passed_on
from imglab.store import files
from imglab.studies.mapping.columns import Cell, Column, ColumnAnswer, next_column
from imglab.studies.mapping.config import validate_map
from imglab.studies.mapping.judge import exact_boundary, judge_event, why_poor
from imglab.studies.mapping.sentences import sentences
from imglab.studies.mixing.criterion import CRITERIA
from imglab.studies.sweeps.warning_config import Event
from tests.tiny_chains import TINY_GAUSSIAN, TINY_IMAGE, finish, write

VARIANCE = {"metric": "variance", "threshold": 0.8, "relative_to": "absolute"}
GAUSSIAN: dict[str, Any] = {
    "name": "map",
    "generations": 10,
    "regime": {"kind": "mix", "real_fraction": 0.1, "real": "fresh"},
    "modality": {"kind": "gaussian", "n_train": 20, "n_test": 30, "dimensions": 16},
    "model": {"kind": "gaussian"},
    "measure": {"samples": 4, "floor_splits": 20},
    "criterion": VARIANCE,
}
SHARE = "regime.real_fraction"
SIZE = "modality.n_train"


def asked(keys, **changes):
    return validate_map({**GAUSSIAN, **changes}, keys, "map.yaml")


class TestAxes:
    def test_ranges_by_default(self):
        share, size = asked([SHARE, SIZE]).axes
        assert (share.number(0), share.number(0.5), share.number(1)) == (0, 0.5, 1)
        assert not share.is_log
        assert [size.number(at) for at in (0, 0.5, 1)] == [5, 20, 80]
        assert size.is_log

    def test_a_range_may_fall(self):
        (size,) = asked([SIZE], over={SIZE: [100, 40]}).axes
        assert [size.number(at) for at in (0, 0.5, 1)] == [100, 70, 40]

    def test_lists_of_numbers_take_multiples(self):
        tree = {**TINY_IMAGE, "name": "tiny", "over": {"model.channels": [1, 2]}}
        tree |= {"regime": {"kind": "mix", "real_fraction": 0.5}, "criterion": "control"}
        digits = validate_map(tree, ["regime.real_fraction", "model.channels"], "map.yaml")
        config: Any = digits.config(0.25, 1.0, 0.0, 7)
        assert config.model.channels == [16, 16]
        assert config.regime.real_fraction == 0.25
        assert config.seed == 7
        control: Any = digits.config(0.25, 1.0, 0.0, 7, control=True)
        assert control.regime.kind == "real_only"

    def test_each_seed_may_draw_real_data_of_its_own(self):
        config: Any = asked([SHARE], new_data=True).config(0.0, 0.0, 0.0, 3)
        assert config.modality.data_seed == 3

    @pytest.mark.parametrize(
        ("over", "changes", "message"),
        [
            ([SHARE + "s"], {}, "no key regime.real_fractions (did you mean 'regime.real_frac"),
            (["modality.ntrain"], {}, "did you mean 'modality.n_train'?"),
            (["model.estimator"], {}, "model.estimator is 'mle', and not a number"),
            (["regime"], {}, "did you mean 'regime.real_fraction'?"),
            (["generations"], {}, "cannot be an axis: all chains are judged at the same length"),
            ([], {}, "names 0 keys"),
            ([SHARE, SHARE], {}, "names 2 keys"),
            ([SHARE], {"over": {SHARE: {"values": [0, 1]}}}, "the first key is searched"),
            ([SHARE], {"over": {SHARE: [0, 2]}}, "real_fraction"),
            ([SIZE], {"measure": {}}, "scored on different numbers of samples"),
            ([SIZE], {"measure": {"samples": 4, "reference": "train"}}, "different real sets"),
            ([SHARE], {"criterion": "gat"}, "did you mean 'gate'?"),
            ([SHARE], {"criterion": "scaling worsens"}, "imglab scale"),
            ([SHARE], {"criterion": "risk rises", "generations": 3}, "needs 5 generations"),
            ([SHARE], {"seeds": [0, 1]}, "the interval of a boundary needs 3 seeds"),
            ([SHARE], {"halving": 3}, "halving: unknown key"),
        ],
    )
    def test_what_is_refused(self, over, changes, message):
        with pytest.raises(InputError, match=re.escape(message)):
            asked(over, **changes)

    def test_all_criteria_but_one_can_be_mapped(self):
        for name in CRITERIA:
            if name != "scaling worsens":
                assert asked([SHARE], criterion=name).criterion == name


def searched(seeds, halvings, holds, blocked=()):
    """Search a column in which `holds(position, seed)` says what comes out."""
    column = Column(range(seeds), halvings)
    while wanted := column.wanted():
        for position, seed in wanted:
            why = "poor" if seed in blocked else ""
            column.cells.append(Cell(position, seed, holds(position, seed), "why", why))
    return column


class TestColumns:
    def test_a_sharp_boundary(self):
        answer = searched(3, 4, lambda position, seed: position >= 0.3).answer()
        assert (answer.verdict, answer.low, answer.high) == ("boundary", 0.25, 0.3125)
        assert answer.estimate == 0.28125

    @pytest.mark.parametrize(
        ("holds", "verdict", "chains"),
        [(lambda *_: True, "holds", 6), (lambda *_: False, "collapses", 3)],
    )
    def test_no_boundary(self, holds, verdict, chains):
        """The nulls: where nothing collapses, and where nothing holds, no boundary is reported."""
        column = searched(3, 4, holds)
        assert column.answer().verdict == verdict
        assert len(column.cells) == chains

    def test_an_interval_is_open_where_a_seed_is_beyond_the_range(self):
        answer: Any = searched(5, 4, lambda position, seed: seed > 0 or position > 0.3).answer()
        assert (answer.verdict, answer.low) == ("boundary", None)
        assert 0.1 < answer.high < 0.3
        answer = searched(5, 4, lambda position, seed: seed > 0 and position > 0.7).answer()
        assert 0.5 < answer.low < 0.8
        assert answer.high is None

        beyond_both = searched(3, 4, lambda position, seed: seed == 0).answer()
        assert beyond_both.verdict == "not decided"

    def test_an_interval_that_is_the_whole_range_decides_nothing(self):
        column = searched(3, 4, lambda position, seed: position > 0.2 + 0.3 * seed)
        assert "the whole range" in column.answer().reason

    def test_an_undecided_chain_leaves_the_column_open(self):
        answer = searched(3, 4, lambda *_: None).answer()
        assert answer == ColumnAnswer("not decided", "seed 0: why")

    def test_a_poor_first_model_blocks(self):
        """Chains whose first model is poor measure training: the rest of the column never runs."""
        column = searched(3, 4, lambda position, seed: position > 0.4, blocked=(0, 2))
        assert column.answer().verdict == "blocked"
        assert "generation 0 is poor with 2 of 3 seeds: poor" in column.answer().reason
        assert len(column.cells) == 3
        assert searched(3, 4, lambda *_: True, blocked=(1,)).answer().verdict == "holds"

    @pytest.mark.parametrize(
        ("poor_below", "poor_seeds", "verdict"),
        [(0.4, (0, 1, 2), "blocked"), (0.4, (1,), "not decided"), (0.2, (0, 1, 2), "boundary")],
    )
    def test_first_models_that_fail_already_draw_no_boundary(self, poor_below, poor_seeds, verdict):
        """Chains fail below .4; a boundary is one of recursion where generation 0 still holds."""
        column = Column(range(3), 4)
        while wanted := column.wanted():
            for at, seed in wanted:
                why = "fails" if at <= poor_below and seed in poor_seeds else ""
                column.cells.append(Cell(at, seed, at > 0.4, "why", why))
        answer = column.answer()
        assert answer.verdict == verdict
        if verdict == "blocked":
            assert "already fails next to the boundary with 3 of 3 seeds: fails" in answer.reason

    def test_intervals_cover_the_boundary(self):
        """Chains scatter about their law: 95% of the intervals hold the boundary, or more."""
        rng = np.random.default_rng(0)
        covered = 0
        for _ in range(300):
            answer: Any = searched(
                5, 5, lambda position, seed: bool(position + 0.1 * rng.normal() > 0.4)
            ).answer()
            covered += answer.low <= 0.4 <= answer.high
        assert 0.93 <= covered / 300 <= 1

    def test_columns_go_where_the_boundary_bends(self):
        flat = ColumnAnswer("boundary", "", 0.2, 0.1, 0.3)
        answers = {0.0: ColumnAnswer("collapses"), 0.5: flat, 1.0: flat}
        assert next_column(answers, float) == 0.25
        assert next_column({0.0: flat, 0.5: flat, 1.0: flat}, float) == 0.25
        assert next_column({0.0: flat, 1.0: flat}, round) is None


GATE = {"excess_fid": 1.0}


class TestFirstModels:
    """Generation 0 of the column's seeds, as the gate asks it to be."""

    def first(self, *fids):
        floor = {"fid": {"mean": 1.0, "sd": 0.2}}
        gates = [judge_generation0({"fid": fid}, floor, GATE) for fid in fids]
        return [
            {"fid": fid, "floor": floor, "generation0": gate}
            for fid, gate in zip(fids, gates, strict=True)
        ]

    def test_their_mean_decides_so_that_no_seed_is_chosen(self):
        column = self.first(1.0, 1.25, 1.1)
        assert [row["generation0"]["verdict"] for row in column] == ["good", "poor", "good"]
        assert [why_poor(row, column, GATE, ()) for row in column] == ["", "", ""]

        column = self.first(1.1, 1.5, 1.3)
        reasons = {why_poor(row, column, GATE, ()) for row in column}
        assert len(reasons) == 1
        assert "fid is 1.3 beside a floor of 1" in reasons.pop()

    def test_a_first_model_of_its_own_is_judged_alone(self):
        """Where the searched key changes generation 0."""
        (other,) = self.first(1.4)
        assert "fid is 1.4" in why_poor(other, self.first(1.0, 1.1), GATE, ())
        assert not why_poor({"fid": 9.0}, self.first(1.0), GATE, ())


class TestExactBoundaries:
    def test_the_size_below_which_a_refitted_variance_falls(self):
        """((n-1)/n)^t meets .8 at 1 / (1 - .8^(1/t))."""
        size = asked([SIZE], regime="replace", over={SIZE: {"between": [10, 1000]}})
        boundary: Any = exact_boundary(size, 0.0, 0.0)
        number = 10 * 100 ** boundary["position"]
        assert number == pytest.approx(1 / (1 - 0.8**0.1), abs=0.55)  # sizes are whole

    @pytest.mark.parametrize("n", [200, 800])
    def test_the_share_of_fresh_data(self, n):
        data = {**GAUSSIAN["modality"], "n_train": n}
        share = asked([SHARE], modality=data, generations=n)
        expected = brentq(lambda a: fresh_mix_mle(n, n, a).variance - 0.8, 0, 1)
        boundary: Any = exact_boundary(share, 0.0, 0.0)
        assert boundary["position"] == pytest.approx(expected, abs=1 / n)

    def test_the_share_of_new_pairs_in_regression(self):
        tree = {
            "modality": {"kind": "regression", "dimensions": 5, "n_train": 400, "inputs": "fresh"},
            "model": {"kind": "ridge", "penalty": 0.0},
            "criterion": {"metric": "excess_risk", "threshold": 2.0},
        }

        def growth(share):
            """The excess risk of ten fits, relative to that of one: what is passed on, again."""
            synthetic = round(400 * (1 - share))
            factor = passed_on(400 - synthetic, synthetic, 5)
            return sum(factor**k for k in range(10))

        expected = brentq(lambda share: growth(share) - 2.0, 0.01, 1)
        boundary: Any = exact_boundary(asked([SHARE], **tree), 0.0, 0.0)
        assert boundary["position"] == pytest.approx(expected, abs=1 / 400)

    def test_accumulating_holds_throughout(self):
        """The null: the product over generations stays above the threshold for ever."""
        every = asked([SIZE], regime="accumulate", over={SIZE: {"between": [10, 1000]}})
        assert exact_boundary(every, 0.0, 0.0) == {"verdict": "holds", "position": None}

    @pytest.mark.parametrize("between", [[3, 1000], [3, 4]])
    def test_none_where_nothing_recursive_fails(self, between):
        """On real data alone the variance of small sets is below the threshold from the start."""
        alone = asked([SIZE], regime="real_only", over={SIZE: {"between": between}})
        assert exact_boundary(alone, 0.0, 0.0) is None

    def test_none_where_theory_is_silent(self):
        floor = {"metric": "fid", "threshold": 2.0, "relative_to": "floor"}
        assert exact_boundary(asked([SHARE], criterion=floor), 0.0, 0.0) is None
        assert exact_boundary(asked([SHARE], criterion="risk rises"), 0.0, 0.0) is None


class TestEvents:
    def rows(self, *values):
        return [{"generation": g, "floor": {}, "fid": value} for g, value in enumerate(values)]

    def test_the_last_generation_counts(self):
        event = Event(metric="fid", threshold=2.0)
        assert judge_event(self.rows(1.0, 9.0, 1.5), event) == (True, "", False)
        holds, reason, at_once = judge_event(self.rows(1.0, 1.5, 2.5), event)
        assert (holds, at_once) == (False, False)
        assert reason == "fid is 1 in generation 0 and 2.5 in the last"

    def test_a_first_model_that_is_in_the_event_cannot_collapse(self):
        event = Event(metric="fid", threshold=0.5, relative_to="absolute")
        assert judge_event(self.rows(1.0, 2.0), event)[2]

    @pytest.mark.parametrize("values", [(None, 1.0), (1.0, None)])
    def test_what_is_undefined_decides_nothing(self, values):
        assert judge_event(self.rows(*values), Event(metric="fid"))[0] is None

    def test_no_floor_no_answer(self):
        event = Event(metric="fid", relative_to="floor")
        assert judge_event(self.rows(1.0, 1.0), event)[0] is None


TINY_MAP: dict[str, Any] = {
    **{**TINY_GAUSSIAN, "name": "tiny", "threads": 1},
    "modality": {"kind": "gaussian", "n_train": 10, "n_test": 30},
    "measure": {"samples": 8, "floor_splits": 20},
    "criterion": {"metric": "variance", "threshold": 0.5, "relative_to": "absolute"},
    "seeds": [0, 1, 2],
    "halvings": 2,
    "columns": 2,
    "generations": 2,
}


class TestCommand:
    @pytest.mark.slow
    def test_a_map_from_end_to_end(self, lab, tmp_path):
        config = write(tmp_path, TINY_MAP)
        arguments = ["map", config, "--over", SHARE, "--out", "runs/map"]
        code, out, err = lab(*arguments)
        assert code == 0, err
        result = json.loads((tmp_path / "runs/map/map.json").read_text())
        assert result["finished"]
        assert sentences(result)[0] in out
        for kind in ("html", "png", "svg", "pdf"):
            assert (tmp_path / f"runs/map/map.{kind}").is_file()

        # The same command finds everything done; another question needs another directory.
        runs = {cell["run"] for column in result["columns"] for cell in column["cells"]}
        assert all(run.startswith("cells/") for run in runs)
        folders = {f"runs/map/{run}" for run in runs}
        before = {
            folder: (tmp_path / folder / "head.json").stat().st_mtime_ns for folder in folders
        }
        assert lab(*arguments)[0] == 0
        assert json.loads((tmp_path / "runs/map/map.json").read_text()) == result
        for run, time in before.items():
            assert (tmp_path / run / "head.json").stat().st_mtime_ns == time
        assert "another question" in lab(*arguments, "--set", "halvings=3")[2]

    @pytest.mark.slow
    def test_runs_of_other_studies_stand_for_chains_and_a_poor_model_blocks(self, lab, tmp_path):
        """A sweep's run of the same config is taken; the gate is met by no generation 0."""
        gate = {"variance_ratio": 1.0, "excess_fid": 0.0, "precision": 0.0, "recall": 0.0}
        measure = {**TINY_MAP["measure"], "gate": gate}
        tree = {**TINY_MAP, "measure": measure, "criterion": "gate"}
        chain = {key: tree[key] for key in tree if key in (*TINY_GAUSSIAN, "name", "threads")}
        chain["regime"] = {**TINY_GAUSSIAN["regime"], "real_fraction": 1.0}
        arm = "runs/sweep/all_real/seed-0"
        finish(write(tmp_path, {**chain, "threads": 2}, "arm"), tmp_path / arm)

        map_config = write(tmp_path, tree)
        code, out, _ = lab("map", map_config, "--over", SHARE, "--out", "runs/map", "--json")
        (column,) = json.loads(out)["columns"]
        assert (code, column["verdict"]) == (0, "blocked")
        assert "generation 0 is poor with 3 of 3 seeds" in column["reason"]
        beside = f"../{arm.removeprefix('runs/')}"
        assert [cell["run"] == beside for cell in column["cells"]] == [True, False, False]

    def test_wrong_input(self, lab, tmp_path):
        config = write(tmp_path, TINY_MAP)
        code, _, err = lab("map", config, "--over", "regime.real_share")
        assert code == 2
        assert "did you mean 'regime.real_fraction'?" in err
        assert "imglab map" in lab("run", write(tmp_path, {**TINY_MAP, "over": {}}, "b"))[2]
        code, _, err = lab("map", config, "--over", SHARE, "--set", "criterion=gate")
        assert code == 2
        assert "no thresholds" in err
        assert "no Ray cluster answers" in lab("map", config, "--over", SHARE, "--ray", ":1")[2]
        few = {**TINY_MAP, "over": {SIZE: [3, 60]}}
        few["modality"] = {**TINY_MAP["modality"], "n_test": 60}
        code, out, err = lab("map", write(tmp_path, few, "few"), "--out", "runs/few")
        assert (code, "seed" in out) == (2, False)
        assert "few.yaml: modality.n_train 3: measure.samples: a floor needs 60 + 8 real" in err
        assert not (tmp_path / "runs/few").exists()
        sweep = write(tmp_path, {**TINY_GAUSSIAN, "arms": {"a": None}}, "sweep")
        assert "several runs" in lab("map", sweep, "--over", SHARE)[2]


def described(**changes):
    """Return what a map with two columns and two panels writes."""
    axes = [
        {"key": SHARE, "low": 0.0, "high": 1.0, "log": False, "values": [], "multiple": False},
        {"key": SIZE, "low": 10, "high": 100, "log": True, "values": [], "multiple": False},
        {"key": "model.x", "low": 1, "high": 2, "log": False, "values": [1, 2], "multiple": True},
    ]
    question = {"axes": axes, "criterion": "gate", "seeds": [0, 1]}
    cell = {"position": 0.5, "seed": 0, "holds": True, "reason": "", "blocked": "", "number": 0.5}
    cells = [{**cell, "run": "a"}, {**cell, "holds": False, "run": "b", "reason": "<b>"}]
    empty = {"estimate": None, "low": None, "high": None, "reason": "", "exact": None}
    exact = {"verdict": "boundary", "position": 0.4, "number": 0.4}
    crossing = {"verdict": "boundary", "estimate": 0.4, "low": 0.3, "high": None, "exact": exact}
    columns = [
        {"at": [10, 1], "cells": cells, **empty, **crossing},
        {"at": [100, 1], "cells": cells, **empty, "verdict": "holds"},
        {"at": [10, 2], "cells": cells, **empty, "verdict": "collapses", "reason": "fid"},
        {"at": [100, 2], "cells": cells, **empty, "verdict": "blocked", "reason": "poor"},
    ]
    result = {"name": "m", "question": question, "finished": True, "data": "", "columns": columns}
    return {**result, "thresholds": {"excess_fid": 1.0}, **changes}


class TestPage:
    def test_sentences(self):
        first, second, boundary, *others = sentences(described())
        assert first.startswith("Of 4 columns, 1 have a boundary in regime.real_fraction, 1 hold")
        assert "excess_fid 2" in second
        assert boundary == (
            "modality.n_train 10, model.x times 1: holds from regime.real_fraction 0.4 (95% "
            "interval from 0.3; with some seeds it collapses throughout); the closed form says 0.4."
        )
        assert others[1].endswith("collapses even at regime.real_fraction 1 (fid).")
        assert others[2].endswith("blocked: poor.")

    def test_the_page_escapes_and_the_figure_has_a_panel_for_each_level(self):
        assert "&lt;b&gt;" in map_page(described(), b"")
        assert len(map_figure(described()).axes) == 2

    def test_the_page_is_built_again_from_the_files(self, tmp_path):
        files.write_signed(tmp_path / "map.json", described())
        (tmp_path / "map.png").write_bytes(b"png")
        assert page_of(tmp_path) == map_page(described(), b"png")


@pytest.mark.slow
def test_a_map_of_chains_covers_the_closed_form(lab, tmp_path):
    """Regression: the interval of the boundary holds that of the law."""
    tree = {
        "name": "map",
        "generations": 4,
        "regime": {"kind": "mix", "real_fraction": 0.1, "real": "fresh"},
        "modality": {"kind": "regression", "dimensions": 20, "n_train": 60, "inputs": "fresh"},
        "model": {"kind": "ridge", "penalty": 0.0},
        "measure": {"samples": 30, "floor_splits": 20},
        "criterion": {"metric": "excess_risk", "threshold": 0.8, "relative_to": "absolute"},
        "over": {SHARE: [0.0, 1.0]},
        "seeds": [0, 1, 2],
        "halvings": 3,
        "new_data": True,
        "threads": 1,
    }
    assert lab("map", write(tmp_path, tree), "--out", "map")[0] == 0
    (column,) = json.loads((tmp_path / "map/map.json").read_text())["columns"]
    low = column["low"] or 0
    high = column["high"] or math.inf
    assert low <= column["exact"]["number"] <= high
