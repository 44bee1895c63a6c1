"""The ranking of a sweep of remedies: order, intervals of ranks and their null, costs, looks."""

from __future__ import annotations

import json

import numpy as np
import pytest

from imglab.report.ranking import format_ranking, ranking_figure, ranking_rows
from imglab.store import files
from imglab.store.layout import FORMAT_VERSION
from imglab.studies.sweeps.config import run_folder
from imglab.studies.sweeps.costs import cost_of
from imglab.studies.sweeps.ranking import rank_intervals, ranking_of
from imglab.studies.sweeps.results import compare, corrected
from tests.studies.tiny_sweep import TINY_SWEEP
from tests.tiny_chains import write

SEEDS = range(5)
ENVIRONMENT = {"format_version": FORMAT_VERSION, "packages": {}, "data": {}, "accelerator": None}
SHIFTS = {"control": 0.0, "replace": 5.0, "neon": 2.0, "other": 2.0}


def row(g, fid, tail=0.5, size=100):
    """Return the metrics of a generation."""
    floor = {"fid": {"mean": 1.0, "sd": 0.1}}
    metrics = {"fid": fid, "recall_by_decile": [tail, 1.0], "precision_bounded": 0.9}
    training = {"training": {"samples_seen": 50 * (g + 1)}}
    return {"generation": g, "floor": floor, "n_synthetic": size, **metrics, **training}


@pytest.fixture
def sweep():
    """Return arms of five seeds with two generations each."""
    rng = np.random.default_rng(0)
    return {
        arm: {
            seed: [row(0, 1.1), row(1, 1.1 + shift + 0.1 * rng.normal(), 0.5 - 0.05 * shift)]
            for seed in SEEDS
        }
        for arm, shift in SHIFTS.items()
    }


@pytest.fixture
def folder(tmp_path, sweep):
    """Return a folder with the files of each run that a ranking reads."""
    for arm in sweep:
        for seed in SEEDS:
            run = run_folder(tmp_path, arm, seed)
            run.mkdir(parents=True)
            remedy = "remedy: [{kind: neon, w: 1.0}]" if arm == "neon" else "samples: 100"
            (run / "config.yaml").write_text(remedy)
            files.write_signed(run / "environment.json", ENVIRONMENT)
            stages = [(0, "model"), (1, "model"), (1, "samples"), (1, "metrics")]
            events = [
                {"generation": g, "stage": stage, "seconds": 1.0, "cpu_seconds": 2.0 + seed}
                for g, stage in stages
            ]
            (run / "events.jsonl").write_text("\n".join(map(json.dumps, events)))
    return tmp_path


def ranked(folder, sweep):
    questions = [{"metric": "fid", "arms": ["neon", "replace"]}]
    answers = corrected([compare(sweep, each) for each in questions])
    return ranking_of(folder, sweep, answers).get("ranking")


class TestRanking:
    def test_arms_stand_in_the_order_of_their_excess(self, folder, sweep):
        ranking = ranked(folder, sweep)
        arms = {arm["arm"]: arm for arm in ranking["arms"]}
        assert next(iter(arms)) == "control"
        assert list(arms)[-1] == "replace"
        assert ranking["metrics"] == {
            "reference": "floor",
            "tail_recall": "recall_by_decile.0",
            "precision": "precision_bounded",
        }
        assert arms["replace"]["excess"]["mean"] == pytest.approx(5.1, abs=0.2)
        assert arms["replace"]["tail_recall"]["mean"] == pytest.approx(0.25)
        assert [arms[arm]["ranks"] for arm in SHIFTS] == [[1, 1], [4, 4], [2, 3], [2, 3]]
        assert arms["neon"]["contrasts"][0]["against"] == "replace"
        assert arms["neon"]["contrasts"][0]["p_holm"] < 0.05

    def test_without_a_floor_the_control_is_the_reference(self, folder, sweep):
        for of_arm in sweep.values():
            for rows in of_arm.values():
                for each in rows:
                    each["floor"] = {}
        ranking = ranked(folder, sweep)
        assert ranking["metrics"]["reference"] == "control"
        assert ranking["arms"][0]["excess"] == {"mean": 0, "low": 0, "high": 0}

    def test_sweeps_without_remedies_have_none(self, folder, sweep):
        assert ranked(folder, {arm: sweep[arm] for arm in ("control", "replace")}) is None

    def test_different_sizes_are_not_ranked(self, folder, sweep):
        for each in sweep["neon"][0]:
            each["n_synthetic"] = 50
        ranking = ranked(folder, sweep)
        assert ranking["arms"] == []
        assert "different numbers of samples" in format_ranking(ranking)

    def test_where_less_is_harm_the_largest_stands_first(self, folder, sweep):
        rows = [row for of_arm in sweep.values() for of_seed in of_arm.values() for row in of_seed]
        for each in rows:
            each["recall"] = 1 / each["fid"]
        questions = [{"metric": "recall", "arms": ["neon", "replace"]}]
        ranking = ranking_of(folder, sweep, [compare(sweep, each) for each in questions])["ranking"]

        arms = {arm["arm"]: arm["ranks"] for arm in ranking["arms"]}
        assert (next(iter(arms)), list(arms)[-1]) == ("control", "replace")
        assert (arms["control"], arms["replace"]) == ([1, 1], [4, 4])
        assert "by recall above that of real data alone, the largest first" in format_ranking(
            ranking
        )

    def test_a_few_seeds_with_the_same_count_are_not_sure(self):
        random = np.random.default_rng(1)
        arms = 4
        trials = 100
        for seeds in (2, 3):
            wrong = 0
            for _ in range(trials):
                counts = random.integers(8, 10, (arms, seeds)).astype(float)
                values = {str(arm): dict(enumerate(of_arm)) for arm, of_arm in enumerate(counts)}
                wrong += any(ranks != [1, arms] for ranks in rank_intervals(values).values())
            assert wrong <= 0.05 * trials

    def test_seeds_without_a_value_are_told(self, folder, sweep):
        sweep["neon"][3][-1]["fid"] = None
        ranking = ranked(folder, sweep)
        (cells,) = [cells for cells in ranking_rows(ranking) if cells[1] == "neon"]
        assert cells[2].endswith("(4 of 5 seeds)")

    def test_ranks_of_arms_that_do_not_differ(self):
        """The null: among arms that differ by chance, all ranks stay open, 19 times of 20."""
        rng = np.random.default_rng(1)
        open_ones = 0
        for _ in range(200):
            arms = {str(n): dict(enumerate(rng.normal(size=5))) for n in range(4)}
            open_ones += all(ranks == [1, 4] for ranks in rank_intervals(arms).values())
        assert open_ones / 200 >= 0.92


class TestCosts:
    def test_later_generations_are_counted_without_scoring(self, folder, sweep):
        run = run_folder(folder, "neon", 1)
        cost = cost_of(run, sweep["neon"][1])
        assert cost == {"cpu_seconds": 6.0, "gpu_seconds": None, "samples_seen": 100.0}

        # A stage that was made again after a kill counts once; a GPU is held for the whole stage.
        with (run / "events.jsonl").open("a") as file:
            file.write('\n{"generation": 1, "stage": "samples", "seconds": 1.5, "cpu_seconds": 1}')
        two_gpus = {**ENVIRONMENT, "accelerator": "a", "processes": 2}
        files.write_signed(run / "environment.json", two_gpus)
        cost = cost_of(run, sweep["neon"][1])
        assert (cost["cpu_seconds"], cost["gpu_seconds"]) == (4.0, 5.0)

    def test_runs_that_did_not_record_it_have_none(self, folder, sweep):
        run = run_folder(folder, "neon", 0)
        (run / "events.jsonl").write_text('{"generation": 1, "stage": "model", "seconds": 1.0}')
        assert cost_of(run, sweep["neon"][0])["cpu_seconds"] is None


class TestLooks:
    def test_text_table_and_figure(self, folder, sweep):
        ranking = ranked(folder, sweep)
        first, titles, best, *_ = format_ranking(ranking).splitlines()
        assert first == "ranking of the arms in generation 1, by fid above its floor:"
        assert titles.split()[:5] == ["ranks", "arm", "excess", "tail_recall", "precision"]
        assert best.split()[:2] == ["1", "control"]
        (neon,) = [cells for cells in ranking_rows(ranking) if cells[1] == "neon"]
        assert neon[0] == "2-3"
        assert neon[-1].startswith("0.493 x replace, p ")
        assert len(ranking_figure(ranking).axes) == 5


@pytest.mark.slow
def test_a_sweep_of_remedies_is_ranked(lab, tmp_path):
    arms = {"replace": None, "neon": {"remedy": {"kind": "neon", "w": 0.5}}}
    contrasts = [{"metric": "w2", "arms": ["neon", "replace"]}]
    tree = {**TINY_SWEEP, "arms": arms, "contrasts": contrasts, "seeds": [0, 1], "threads": 1}
    code, out, err = lab("sweep", write(tmp_path, tree), "--out", "swept")
    assert (code, err) == (0, "")
    assert "by w2 above that of real data alone" in out
    summary = json.loads((tmp_path / "swept/summary.json").read_text())
    costs = [arm["cost"] for arm in summary["ranking"]["arms"]]
    assert all(cost["cpu_seconds"]["mean"] > 0 for cost in costs)
    assert (tmp_path / "swept/ranking.png").is_file()
    assert "Ranking of the arms" in (tmp_path / "swept/report.html").read_text()
