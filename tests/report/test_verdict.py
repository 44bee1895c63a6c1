"""What the page says in one sentence."""

from __future__ import annotations

from dataclasses import replace

from imglab.measure.gate import judge_generation0
from imglab.report.arms import Arm
from imglab.report.arms import read_arms as read_all
from imglab.report.first_generation import poor_starts, trained_on
from imglab.report.verdict import short, verdict
from imglab.studies.first_generations import NO_THRESHOLDS


def read_arms(folders):
    """Read arms whose generation 0 counts as good; neither shape nor bounded recall are known."""
    unmeasured = {
        "generation0": {"verdict": "good", "reasons": []},
        "fid_shape": None,
        "recall_bounded": None,
    }
    return [
        replace(arm, rows=[{**row, **unmeasured} for row in arm.rows]) for arm in read_all(folders)
    ]


class TestVerdict:
    def test_numbers_are_short(self):
        told = {
            0.9123: "0.91",
            0.0642: "0.064",
            13.04: "13",
            145.6: "146",
            2.5: "2.5",
            0.0: "0.00",
            3e7: "3e+07",
        }
        assert {value: short(value) for value in told} == told

    def test_the_sentence_is_made_from_the_numbers(self, finished_runs):
        arm = read_arms([finished_runs["replace"]])[0]
        floor = {"recall": {"mean": 0.89, "sd": 0.01}, "fid": None}
        arms = []
        for name, recall in (
            ("replace", (0.91, 0.48)),
            ("a tenth real", (0.91, 0.8)),
            ("fresh", (0.91, 0.7)),
        ):
            rows = [
                {
                    **row,
                    "recall": value,
                    "recall_se": 0.02,
                    "fid": 10 / value,
                    "fid_se": 0.1,
                    "floor": floor,
                }
                for row, value in zip(arm.rows, recall, strict=False)
            ]
            arms.append(type(arm)(name, arm.folder, rows))
        assert verdict(arms) == [
            "Recall of replace fell from 0.91 to 0.48 (real against real: 0.89), "
            "while a tenth real kept 0.80; FID (classifier) of replace rose from 11 to 20.8, "
            "while a tenth real had 12.5 in 1 generation."
        ]

    def test_arms_that_fare_alike_are_not_played_off(self, finished_runs):
        arm = read_arms([finished_runs["replace"]])[0]

        def fell(name, *recall):
            values = {"recall_se": 0.02, "floor": {}, "fid": None}
            rows = [
                {**arm.rows[0], **values, "generation": g, "recall": value}
                for g, value in enumerate(recall)
            ]
            return type(arm)(name, arm.folder, rows)

        alike = verdict([fell("one", 0.38, 0.08), fell("two", 0.23, 0.1)])[0]
        assert alike == "Recall of one fell from 0.38 to 0.08 in 1 generation."
        less = verdict([fell("one", 0.9, 0.1), fell("two", 0.9, 0.4)])[0]
        assert "while that of two fell from 0.90 to 0.40" in less
        behind = verdict([fell("one", 0.9, 0.6, 0.2), fell("two", 0.9, 0.6)])[0]
        assert behind == "Recall of one fell from 0.90 to 0.60 in 1 generation."
        first = verdict([fell("one", 0.9)])[0]
        assert first == "Recall is 0.90 in generation 0, trained on real data alone."

    def test_one_of_many_arms_that_end_within_their_errors_is_not_called_better(
        self, finished_runs
    ):
        arm = read_arms([finished_runs["replace"]])[0]

        def ended(name, recall, fid):
            values = {"recall_se": 0.02, "fid_se": 1.0, "fid_shape": fid / 4, "floor": {}}
            first, last = (
                {**arm.rows[0], **values, "generation": g, "recall": r, "fid": f}
                for g, (r, f) in enumerate([(0.60, 20.0), (recall, fid)])
            )
            shape = {f"{name}_shape": 0.6 for name in ("recall", "precision")}
            return type(arm)(name, arm.folder, [{**first, **shape}, {**last, **shape}])

        two = [ended("low", 0.56, 23.5), ended("high", 0.63, 20.0)]
        (sentence,) = verdict(two)
        assert "while high" in sentence
        assert "of the rise of the Fréchet distance" in sentence

        # The lowest of eight lies as far off without any difference.
        between = [ended(f"arm {at}", 0.6, 20.0) for at in range(6)]
        (sentence,) = verdict([*two, *between])
        assert "while" not in sentence
        assert "of the rise of the Fréchet distance" not in sentence

    def test_the_last_seed_that_has_a_value_says_nothing_of_the_others(self, finished_runs):
        arm = read_arms([finished_runs["replace"]])[0]
        band: dict[str, list[float | None]] = {
            "mean": [0.9, 0.5, 0.1],
            "low": [0.88, 0.4, None],
            "high": [0.92, 0.6, None],
        }
        rows = [{**row, "fid": None, "floor": {}} for row in arm.rows]
        swept = type(arm)(arm.name, arm.folder, rows, bands={"recall": band}, seeds=5)
        assert "fell from 0.90 to 0.50" in verdict([swept])[0]

    def test_a_change_within_the_noise_is_none(self, finished_runs):
        arm = read_arms([finished_runs["replace"]])[0]
        rows = [
            {**row, "recall": 0.8 + 0.001 * g, "recall_se": 0.02} for g, row in enumerate(arm.rows)
        ]
        same = type(arm)(arm.name, arm.folder, rows)
        assert verdict([same])[0].startswith("Recall stayed at 0.80")
        fell = type(arm)(
            arm.name, arm.folder, [{**row, "recall": 0.8 - 0.2 * g} for g, row in enumerate(rows)]
        )
        assert verdict([fell])[0].startswith("Recall fell from 0.80 to 0.40")

    def test_a_text_begins_with_what_calibration_shows_to_see_most(self, finished_runs):
        (arm,) = read_arms([finished_runs["texts"]])
        shuffled = {"fid_se": 0.1, "recall_bounded_se": 0.02, "perplexity_se": 0.1, "floor": {}}
        rows = [
            {**row, **shuffled, "fid": 1.0 + 3 * g, "recall_bounded": 0.9, "perplexity": 30.0 + g}
            for g, row in enumerate(arm.rows)
        ]
        (sentence,) = verdict([replace(arm, rows=rows)])
        assert "rose from 1 to 7; recall (bounded) stayed at 0.90; perplexity rose" in sentence

        (sentence,) = verdict([replace(arm, rows=[{**row, "facts_alive": 0.3} for row in rows])])
        assert "; facts alive stayed at 0.30; perplexity rose" in sentence

    def test_facts_and_features_do_not_contradict_each_other(self, finished_runs):
        (arm,) = read_arms([finished_runs["texts"]])
        errors = {"fid_se": 0.1, "facts_alive_se": 0.01, "perplexity_se": 0.1, "floor": {}}
        rows = [
            {**row, **errors, "recall": None, "coverage": None}
            | {"facts_alive": 0.5 - 0.2 * g, "fid": 3.0 - g, "perplexity": 10.0 + g}
            for g, row in enumerate(arm.rows)
        ]
        (sentence,) = verdict([replace(arm, rows=rows)])
        assert "facts alive fell from 0.50" in sentence
        assert "contradict" not in sentence

    def test_a_poor_first_model_is_said_before_anything_else(self, finished_runs):
        arm = read_arms([finished_runs["replace"]])[0]
        gate = {"verdict": "poor", "reasons": ["recall is 0.12", "fid is 300", "variance is 0.5"]}
        poor = replace(arm, rows=[{**row, "generation0": gate} for row in arm.rows])
        said = "Generation 0 is a poor model (recall is 0.12; fid is 300; 1 more): what follows"
        assert verdict([poor])[0].startswith(said)

    def test_a_first_model_that_was_not_judged_is_named(self, finished_runs):
        arm = read_arms([finished_runs["replace"]])[0]

        def said(*reasons):
            gate = {"verdict": "unknown", "reasons": list(reasons)}
            rows = [{**row, "generation0": gate} for row in arm.rows]
            return verdict([replace(arm, rows=rows)])[0]

        assert said("fid or its floor is undefined").startswith(
            "Generation 0 was not judged (fid or its floor is undefined)."
        )
        assert judge_generation0({}, {}, {})["reasons"] == [NO_THRESHOLDS]
        assert "not judged" not in said(NO_THRESHOLDS)
        assert "not judged" not in said()

    def test_it_says_what_the_first_model_was_trained_on(self, finished_runs):
        arm = read_arms([finished_runs["replace"]])[0]
        assert trained_on([arm]) == "real data alone"
        first = {**arm.rows[0], "origins": {"web": 28, "real": 12}}
        mixed = replace(arm, rows=[first])
        assert trained_on([mixed]) == "30% real, 70% web"
        assert trained_on([arm, mixed]) == "real data alone or 30% real, 70% web"
        assert verdict([mixed])[0].endswith("in generation 0, trained on 30% real, 70% web.")

        # Its data may be the cause, not its training alone.
        poor = replace(
            mixed, rows=[{**first, "generation0": {"verdict": "poor", "reasons": ["fid is 300"]}}]
        )
        said = "shows the data that it was trained on (30% real, 70% web), or its training,"
        assert said in verdict([poor])[0]

    def test_a_control_that_still_improves_makes_the_first_model_poor(self, finished_runs):
        arm = read_arms([finished_runs["replace"]])[0]
        control = read_arms([finished_runs["replace"]])[0]
        first = {**arm.rows[0], "fid": 9.0, "fid_se": 0.1}
        control = replace(control, name="control", rows=[first, {**first, "fid": 5.0}])
        vars(control)["settings"] = {**control.settings, "regime.kind": "real_only"}
        reason = "the control on real data still improves: fid 9 to 5 in 1 generation"
        assert reason in poor_starts([arm, control])[0]

    def test_a_fall_within_its_error_is_not_decided(self, finished_runs):
        assert "is not decided (0.71 and 0.63" in self.recall_and_fid(finished_runs, 0.71, 0.63)

    def test_changes_that_contradict_each_other_are_named(self, finished_runs):
        sentence = self.recall_and_fid(finished_runs, 0.9, 0.3, fid=(40, 10))
        assert "contradict each other" in sentence
        assert "contradict" not in self.recall_and_fid(finished_runs, 0.9, 0.3, fid=(10, 40))

    @staticmethod
    def recall_and_fid(finished_runs, first, last, fid=(10, 10)) -> str:
        arm: Arm = read_arms([finished_runs["replace"]])[0]
        errors = {"recall_se": 0.05, "fid_se": 1.0, "floor": {}}
        rows = [
            {**arm.rows[0], **errors, "generation": g, "recall": recall, "fid": distance}
            for g, (recall, distance) in enumerate(zip((first, last), fid, strict=True))
        ]
        return verdict([replace(arm, rows=rows)])[0]
