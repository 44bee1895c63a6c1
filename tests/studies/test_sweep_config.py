"""Sweeps: configs that say what they mean."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from imglab.config.merge import merged
from imglab.errors import InputError
from imglab.running.build import build_regime
from imglab.studies.sweeps.config import CONTROL, load_sweep
from imglab.studies.sweeps.run import Sweep
from tests.studies.tiny_sweep import TINY_SWEEP
from tests.tiny_chains import TINY_GAUSSIAN, write


class TestConfig:
    def test_the_control_is_always_there(self, tmp_path):
        sweep = load_sweep(
            write(tmp_path, {**TINY_SWEEP, "curate": {"kind": "random", "keep": 0.5}})
        )
        assert list(sweep.arms) == ["replace", "mixed", CONTROL]
        assert sweep.arms[CONTROL].regime.kind == "real_only"
        assert sweep.arms[CONTROL].curate is None
        assert [(arm, seed) for arm, seed, _ in sweep.runs()][:3] == [
            ("replace", 0),
            ("mixed", 0),
            (CONTROL, 0),
        ]

    def test_without_a_question_each_arm_is_compared_with_the_control(self, tmp_path):
        sweep = load_sweep(
            write(tmp_path, {key: value for key, value in TINY_SWEEP.items() if key != "contrasts"})
        )
        assert [(found.metric, found.arms) for found in sweep.contrasts] == [
            ("fid", ["replace", CONTROL]),
            ("fid", ["mixed", CONTROL]),
        ]

    def test_changes_are_laid_over(self):
        tree: dict[str, Any] = {
            "model": {"kind": "a", "x": 1, "deep": {"y": 1}},
            "regime": "replace",
        }
        assert merged(tree, {"model": {"x": 2}}, "")["model"] == {
            "kind": "a",
            "x": 2,
            "deep": {"y": 1},
        }
        assert merged(tree, {"model.deep.y": 3}, "")["model"]["deep"] == {"y": 3}
        assert merged(tree, {"model": {"kind": "b"}}, "")["model"] == {"kind": "b"}
        assert merged(tree, {"regime.window": 2}, "")["regime"] == {"kind": "replace", "window": 2}
        assert tree["model"]["x"] == 1

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"seeds": [1, 1]}, "seeds: has 1 twice: seeds must differ"),
            ({"seeds": []}, "seeds: must have at least 1 item"),
            ({"seed": 3}, r"seed: a sweep has `seeds` \(seeds: \[3\]\)"),
            ({"arms": {"a/b": None}}, "arms.a/b: is not a valid name for an arm"),
            (
                {"arms": {"a": None, "A": None}},
                "arms.a: differs from the name of another arm only in upper and lower case",
            ),
            ({"arms": {"control": None}}, "arms.control: every sweep has this arm"),
            ({"arms": {"x": {"modle": 1}}}, r"arms.x: modle: unknown key \(did you mean 'model'"),
            (
                {"arms": {"x": {"model.estimatr": "mle"}}},
                "arms.x: model.estimatr: unknown key .*'estimator'",
            ),
            ({"arms": {"x": {"seed": 1}}}, "arms.x.seed: an arm cannot change it"),
            ({"arms": []}, "arms: must hold arms by name"),
            (
                {"contrasts": [{"metric": "fid", "arms": ["mixed", "replase"]}]},
                "contrasts.0.arms: .*'replace'",
            ),
            (
                {"contrasts": [{"metric": "fid", "arms": ["mixed", "mixed"]}]},
                "compares 'mixed' with itself",
            ),
            (
                {"contrasts": [{"metric": "fid", "arms": ["mixed", "replace"], "generation": 3}]},
                "contrasts.0.generation: there is no generation 3: the runs have 3",
            ),
        ],
    )
    def test_what_is_wrong_is_named(self, tmp_path, changes, message):
        with pytest.raises(InputError, match=message):
            load_sweep(write(tmp_path, {**TINY_SWEEP, **changes}))

    def test_a_mistake_that_arms_share_is_told_once(self, tmp_path):
        tree = {**TINY_SWEEP, "shwon": 4, "arms": {**TINY_SWEEP["arms"], "x": {"sampels": 3}}}
        tree["arms"]["y"] = {"sampels": 3}
        with pytest.raises(InputError) as error:
            load_sweep(write(tmp_path, tree, "sweep"))
        where = tmp_path / "sweep.yaml"
        assert [str(problem) for problem in error.value.problems] == [
            f"{where}: all arms: shwon: unknown key (did you mean 'shown'?)",
            f"{where}: arms.x, arms.y: sampels: unknown key (did you mean 'samples'?)",
        ]

    def test_so_is_one_that_is_noticed_when_they_are_built(self, tmp_path):
        config = load_sweep(write(tmp_path, {**TINY_SWEEP, "samples": 3}, "sweep"))
        with pytest.raises(InputError) as error:
            Sweep(config, tmp_path / "out", where="sweep.yaml")
        assert [problem.where for problem in error.value.problems] == [
            "sweep.yaml: all arms: measure.precision_recall_k",
            "sweep.yaml: all arms: measure.density_coverage_k",
        ]

    def test_so_is_a_change_with_which_runs_cannot_go_on(self, tmp_path, monkeypatch):
        def in_turn(jobs, place, watch, ended):
            return {name: job.run() for name, job in jobs.items()}

        monkeypatch.setattr("imglab.studies.sweeps.run.run_jobs", in_turn)
        tree = {**TINY_SWEEP, "threads": 1, "seeds": [0, 1], "generations": 1, "contrasts": []}
        out = tmp_path / "out"
        Sweep(load_sweep(write(tmp_path, tree)), out).run(lambda done, total: None)

        mixed = {**TINY_SWEEP["arms"]["mixed"], "shown": 3}
        for changes, names in (
            ({"shown": 3}, "all runs"),
            ({"arms": {**TINY_SWEEP["arms"], "mixed": mixed}}, "mixed/seed-0, mixed/seed-1"),
        ):
            with pytest.raises(InputError) as error:
                Sweep(load_sweep(write(tmp_path, {**tree, **changes})), out)
            assert [problem.where for problem in error.value.problems] == [f"{out}: {names}: shown"]

    def test_commands_point_to_each_other(self, lab, tmp_path):
        sweep, chain = write(tmp_path, TINY_SWEEP, "sweep"), write(tmp_path, TINY_GAUSSIAN, "chain")
        assert "imglab sweep" in lab("run", sweep)[2]
        assert "imglab run" in lab("sweep", chain)[2]
        code, out, _ = lab("validate", sweep)
        assert (code, out.splitlines()[0]) == (0, f"{sweep}: valid")

    @pytest.mark.parametrize("address", ["", "127.0.0.1:1", "127.0.0.1:x"])
    def test_a_cluster_that_is_not_there(self, lab, tmp_path, address):
        sweep = write(tmp_path, TINY_SWEEP, "sweep")
        code, _, err = lab("sweep", sweep, "--out", tmp_path / "out", "--ray", address)
        assert code == 2
        assert "--ray: no Ray cluster answers" in err
        assert not (tmp_path / "out").exists(), "what is refused leaves nothing"

    @pytest.mark.slow
    def test_somebody_else_at_the_address(self, lab, tmp_path, monkeypatch):
        pytest.importorskip("ray", reason="ray is not installed")
        monkeypatch.setattr("imglab.studies.ray.ANSWER", 5.0)
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"127.0.0.1:{server.getsockname()[1]}"
            code, _, err = lab("sweep", write(tmp_path, TINY_SWEEP, "sweep"), "--ray", address)
        assert code == 2
        assert "no answer in 5 s" in err

    def test_the_control_has_the_budget_of_the_arms(self, tmp_path):
        config = load_sweep(write(tmp_path, {**TINY_SWEEP, "samples": 20}))
        regime = build_regime(config.arms["control"])
        assert len(regime([60, 20], generation=1, seed=0)) == 20
