"""Sweeps: configs that say what they mean, statistics that are right, runs that nothing
is lost of.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from imglab.config.merge import merged
from imglab.errors import InputError
from imglab.run.build import build_regime
from imglab.run.cache import RunCache
from imglab.store import layout, reading
from imglab.studies.chains import run_chain
from imglab.studies.jobs import Job, Outcome, run_jobs
from imglab.studies.pool import Pool
from imglab.studies.sweeps import statistics
from imglab.studies.sweeps.config import CONTROL, load_sweep, run_folder
from imglab.studies.sweeps.results import compare, read_sweep, sentence, summarise, values_of
from imglab.studies.sweeps.run import Sweep
from tests.test_run_directory import TINY_GAUSSIAN, finish, hashes, write

TINY_SWEEP: dict[str, Any] = {
    **TINY_GAUSSIAN,
    "regime": "replace",
    "generations": 3,
    "seeds": [0, 1, 2, 3, 4],
    "arms": {
        "replace": None,
        "mixed": {"regime": {"kind": "mix", "real_fraction": 0.5, "real": "fresh"}},
    },
    "contrasts": [{"metric": "variance", "arms": ["mixed", "replace"]}],
}


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
        def in_turn(jobs, place, watch):
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
        assert lab("validate", sweep)[:2] == (0, f"{sweep}: valid\n")

    @pytest.mark.parametrize("address", ["", "127.0.0.1:1", "127.0.0.1:x"])
    def test_a_cluster_that_is_not_there(self, lab, tmp_path, address):
        sweep = write(tmp_path, TINY_SWEEP, "sweep")
        code, _, err = lab("sweep", sweep, "--out", tmp_path / "out", "--ray", address)
        assert code == 2
        assert "--ray: no Ray cluster answers" in err
        assert not (tmp_path / "out").exists(), "what is refused leaves nothing"

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


def rows(values):
    return [{"generation": g, "fid": value, "floor": {}} for g, value in enumerate(values)]


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


def test_scores_at_different_sizes_are_not_compared():
    """A curated arm draws more than the control: its Frechet distance is of another number of
    samples.
    """
    ours, theirs = ({seed: rows([1.0 + seed, 2.0 + seed]) for seed in range(5)} for _ in range(2))
    for found in ours.values():
        for row in found:
            row.update(n_synthetic=1400, floor={"fid": None}, perplexity=3.0 + row["generation"])
    for found in theirs.values():
        for row in found:
            row.update(n_synthetic=700, floor={"fid": None}, perplexity=3.0)
    sweep = {"a": ours, CONTROL: theirs}
    for found in (*ours.values(), *theirs.values()):
        for row in found:
            row.update(headline=["fid"], reasons={})
    summary = summarise(
        sweep, [{"metric": name, "arms": ["a", CONTROL]} for name in ("fid", "perplexity", "fdi")]
    )
    fid, perplexity, unknown = (answer["verdict"] for answer in summary["contrasts"])
    assert fid.startswith("open: fid was measured at different numbers of samples")
    assert perplexity == "a is higher"
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
            summarise({"a": arm, CONTROL: control}, [])["leaves_control"]["a"]["fid"]["lead"]
            == lead
        )


class TestRuns:
    @pytest.mark.slow
    def test_each_run_is_one_like_any_other(self, lab, tmp_path):
        config = write(tmp_path, {**TINY_SWEEP, "threads": 1})
        code, out, err = lab("sweep", config, "--workers", "2", "--out", "swept")
        assert (code, err) == (0, "")
        assert "variance in generation 2, mixed against replace" in out
        summary = json.loads((tmp_path / "swept/summary.json").read_text())
        assert summary["seeds"] == {arm: [0, 1, 2, 3, 4] for arm in ("replace", "mixed", "control")}
        assert (tmp_path / "swept/sweep.png").is_file()
        alone = {
            key: value
            for key, value in TINY_SWEEP.items()
            if key not in ("arms", "seeds", "contrasts")
        }
        finish(
            write(tmp_path, {**alone, "seed": 3, "threads": 1, "name": "replace"}, "alone"),
            tmp_path / "alone",
        )
        assert hashes(run_folder(tmp_path / "swept", "replace", 3)) == hashes(tmp_path / "alone")
        before = (tmp_path / "swept/mixed/seed-0/generation_002/manifest.json").stat().st_mtime_ns
        assert lab("sweep", config, "--out", "swept")[0] == 0
        assert (
            tmp_path / "swept/mixed/seed-0/generation_002/manifest.json"
        ).stat().st_mtime_ns == before
        assert len(json.loads(lab("metrics", "swept", "--json")[1])["runs"]) == 15
        more = write(tmp_path, {**TINY_SWEEP, "threads": 1, "seeds": [0, 1, 2, 3, 4, 5]}, "more")
        assert lab("sweep", more, "--out", "swept")[0] == 0
        assert len(read_sweep(tmp_path / "swept")["mixed"]) == 6
        assert (
            lab(
                "sweep",
                write(tmp_path, {**TINY_SWEEP, "arms": {"other": None}, "contrasts": []}),
                "--out",
                "swept",
            )[0]
            == 2
        )

    def test_what_it_says_is_json(self, tmp_path):
        sweep = {"a": {0: rows([None, 1.0])}, CONTROL: {0: rows([2.0, None])}}
        for found in sweep.values():
            for row in found[0]:
                row.update(headline=["fid"], reasons={}, extractor="x")
        said = summarise(sweep, [{"metric": "fid", "arms": ["a", CONTROL]}])
        assert "fid" in json.dumps(said, allow_nan=False)


def die_once(path: str) -> None:
    """Kill this process, the first time."""
    if not os.path.exists(path):
        open(path, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_worker_that_dies_costs_no_finished_generation(tmp_path, monkeypatch):
    """A regime of another package kills its worker in generation 1; the sweep goes on and ends."""
    (tmp_path / "deadly.py").write_text(
        "from imglab.regimes import replace\nfrom tests.test_sweeps import die_once\n"
        "def regime(sizes, *, generation, seed):\n"
        f"    if generation == 1: die_once({str(tmp_path / 'died')!r})\n"
        "    return replace(sizes, generation=generation, seed=seed)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    arms = {"deadly": {"regime": {"kind": "deadly:regime"}}, "replace": None}
    config = load_sweep(
        write(tmp_path, {**TINY_SWEEP, "arms": arms, "contrasts": [], "seeds": [0], "threads": 1})
    )
    seen = []
    outcomes = Sweep(config, tmp_path / "swept").run(lambda done, total: seen.append((done, total)))
    assert {outcome.code for outcome in outcomes.values()} == {0}
    assert (tmp_path / "died").exists()
    assert seen[-1] == (9, 9)
    deadly, plain = (tmp_path / "swept" / arm / "seed-0" for arm in ("deadly", "replace"))
    metrics = [reading.read_metrics(folder) for folder in (deadly, plain)]
    assert metrics[0] == metrics[1]


@pytest.mark.slow
def test_a_job_that_always_loses_its_worker_is_given_up(tmp_path, monkeypatch):
    (tmp_path / "fatal.py").write_text("import os\nos._exit(9)\n")
    monkeypatch.syspath_prepend(tmp_path)
    tree = {**TINY_GAUSSIAN, "name": "x", "regime": {"kind": "fatal:regime"}}
    cache = RunCache(tmp_path / "prepared", tmp_path / "generation0")

    def job(tree, folder):
        return Job(run_chain, (yaml.safe_dump(tree), tmp_path / folder, cache))

    plain = {**TINY_GAUSSIAN, "name": "y"}
    jobs = {
        "good": job(plain, "run0"),
        "bad": job(tree, "run"),
        "beside": job(plain, "run1"),
        "after": job(plain, "run2"),
    }
    outcomes = run_jobs(jobs, Pool(2))
    assert outcomes.pop("bad") == Outcome(1, "its worker died 3 times")
    assert outcomes == dict.fromkeys(("good", "beside", "after"), Outcome(0)), (
        "nobody is given up for a neighbour"
    )


@pytest.mark.slow
def test_a_signal_stops_a_sweep_and_the_same_command_goes_on(tmp_path):
    config = write(
        tmp_path, {**TINY_SWEEP, "generations": 200, "seeds": [0], "threads": 1, "contrasts": []}
    )
    command = [
        sys.executable,
        "-m",
        "imglab",
        "sweep",
        str(config),
        "--out",
        str(tmp_path / "swept"),
        "--workers",
        "2",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout is not None
    for line in process.stdout:
        if line.split()[0].isdigit() and int(line.split()[0]) > 5:
            process.send_signal(signal.SIGTERM)
            break
    _, err = process.communicate(timeout=120)
    assert process.returncode == 3, err
    assert "run the same command again" in err
    folders = [tmp_path / "swept" / arm / "seed-0" for arm in ("replace", "mixed", "control")]
    done = [layout.count_finished(folder) for folder in folders]
    assert 0 < sum(done) < 600
    time.sleep(2)
    assert [layout.count_finished(folder) for folder in folders] == done  # no worker is left


@pytest.mark.slow
def test_on_a_ray_cluster(tmp_path):
    ray = pytest.importorskip("ray", reason="ray is not installed")
    started = subprocess.run(
        [
            sys.executable,
            "-m",
            "ray.scripts.scripts",
            "start",
            "--head",
            "--num-cpus=2",
            "--include-dashboard=false",
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert started.returncode == 0, started.stderr
    try:
        config = write(tmp_path, {**TINY_SWEEP, "seeds": [0, 1]})
        command = [
            sys.executable,
            "-m",
            "imglab",
            "sweep",
            str(config),
            "--out",
            str(tmp_path / "swept"),
        ]
        done = subprocess.run(
            [*command, "--ray", "auto"], capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        assert all(len(found) == 2 for found in read_sweep(tmp_path / "swept").values())
    finally:
        subprocess.run(
            [sys.executable, "-m", "ray.scripts.scripts", "stop", "--force"],
            capture_output=True,
            timeout=60,
        )
        assert ray.__version__
