"""Early warning: leads of series whose lead is plain, false alarms as often as is said."""

from __future__ import annotations

import json

import numpy as np
import pytest

from imglab.errors import InputError
from imglab.report.warning import format_warning
from imglab.studies.sweeps.config import validate_sweep
from imglab.studies.sweeps.statistics import clopper_pearson
from imglab.studies.sweeps.warning import early_warning, lead_of, median_lead
from imglab.studies.sweeps.warning_config import EarlyWarning
from tests.studies.tiny_sweep import TINY_SWEEP


def rows_of(**columns):
    length = len(next(iter(columns.values())))
    values = [{name: float(column[g]) for name, column in columns.items()} for g in range(length)]
    return [{"generation": g, "floor": {}, "reasons": {}, **values[g]} for g in range(length)]


def control_of(seeds, generations, seed=0):
    """A control in which nothing happens: seeds that differ by chance in each generation."""
    noisy = np.random.default_rng(seed).normal(size=(2, seeds, generations))
    return {
        s: rows_of(fid=np.exp(1 + 0.05 * noisy[0, s]), vendi=np.exp(2 + 0.02 * noisy[1, s]))
        for s in range(seeds)
    }


def falling(at, generations=10):
    """Vendi that falls by far from generation `at` on."""
    return [7.4 if g < at else 3.0 for g in range(generations)]


RULES = EarlyWarning.model_validate(
    {"event": {"metric": "fid", "threshold": 2, "relative_to": "generation0"}, "alarms": ["vendi"]}
)


def test_the_lead_is_the_event_less_the_alarm():
    # Vendi falls in generation 2, the rule asks for two in a row, so the alarm is in 3; fid doubles
    # in generation 7.
    fid = [2.7] * 7 + [9.0] * 3
    arm = {s: rows_of(fid=fid, vendi=falling(2)) for s in range(6)}
    answer = early_warning({"a": arm, "control": control_of(6, 10)}, RULES)
    alarm = answer["arms"]["a"]["alarms"]["vendi"]
    assert answer["arms"]["a"]["events"] == [7] * 6
    assert alarm["at"] == [3] * 6
    assert (alarm["lead"], alarm["lead_at_least"], alarm["warned"]) == (4.0, False, 6)
    assert alarm["verdict"] == "warns"
    assert alarm["p"] == pytest.approx(1 / 924)  # 6 of 6 against 0 of 6: one table of 12 choose 6
    json.dumps(answer, allow_nan=False)
    assert "replace" not in format_warning(answer)
    assert (
        "early warning that fid rises beyond 2 times its value in generation 0"
        in format_warning(answer)
    )


def test_an_alarm_after_the_event_is_late_and_one_that_never_comes_is_missed():
    fid = [2.7] * 4 + [9.0] * 6
    late = {s: rows_of(fid=fid, vendi=falling(6)) for s in range(6)}
    missed = {s: rows_of(fid=fid, vendi=falling(99)) for s in range(6)}
    sweep = {"late": late, "missed": missed, "control": control_of(6, 10)}
    arms = early_warning(sweep, RULES)["arms"]
    alarm = arms["late"]["alarms"]["vendi"]
    assert (alarm["lead"], alarm["late"], alarm["verdict"]) == (-3.0, 6, "no warning shown")
    alarm = arms["missed"]["alarms"]["vendi"]
    assert (alarm["lead"], alarm["missed"]) == (None, 6)


def test_without_the_event_a_lead_is_a_lower_bound():
    assert lead_of(None, 3, 10) == (7.0, True)
    assert lead_of(None, None, 10) is None
    assert lead_of(5, None, 10) == (-np.inf, False)
    assert median_lead([(2.0, True), (5.0, False), (6.0, False)]) == (5.0, True)
    assert median_lead([(2.0, False), (5.0, False), (6.0, True)]) == (5.0, False)
    assert median_lead([(-np.inf, False), (-np.inf, False), (6.0, True)]) == (None, False)
    assert median_lead([]) == (None, False)

    arm = {s: rows_of(fid=[2.7] * 10, vendi=falling(2)) for s in range(6)}
    alarm = early_warning({"a": arm, "control": control_of(6, 10)}, RULES)["arms"]["a"]["alarms"]
    assert (alarm["vendi"]["lead"], alarm["vendi"]["lead_at_least"]) == (7.0, True)
    assert alarm["vendi"]["verdict"] == "goes off; no event came"


def test_the_rate_of_false_alarms_lies_in_its_interval():
    # An alarm that is too eager: what it does to new seeds of the control is its true rate.
    eager = {"metric": "vendi", "z": 1.5, "consecutive": 1}
    rules = EarlyWarning.model_validate({"alarms": [eager]})
    covered = []
    rates = []
    for trial in range(60):
        rate = early_warning({"control": control_of(12, 6, trial)}, rules)["false_alarms"]["vendi"]
        assert rate["rate"] == rate["alarms"] / 12
        rates.append(rate["rate"])
        covered.append((rate["low"], rate["high"]))
    true = np.mean(rates)
    assert 0.2 < true < 0.8
    assert np.mean([low <= true <= high for low, high in covered]) >= 0.9


def test_the_default_rule_is_rarely_false():
    alarms = [
        early_warning({"control": control_of(8, 8, trial)}, RULES)["false_alarms"]["vendi"][
            "alarms"
        ]
        for trial in range(30)
    ]
    assert sum(alarms) <= 0.02 * 8 * 30


def test_the_exact_interval_covers_at_least_as_often_as_it_says():
    n = 8
    counts = np.arange(n + 1)
    ends = np.array([clopper_pearson(int(count), n) for count in counts])
    for p in (0.01, 0.1, 0.37, 0.5):
        chances = np.array([np.prod([(n - i) / (i + 1) for i in range(c)]) for c in counts])
        chances *= p**counts * (1 - p) ** (n - counts)
        assert chances[(ends[:, 0] <= p) & (p <= ends[:, 1])].sum() >= 0.95
    assert clopper_pearson(0, 0) == (0.0, 1.0)
    assert clopper_pearson(0, 5)[1] == pytest.approx(1 - 0.025 ** (1 / 5))


def test_arms_like_the_control_are_rarely_said_to_warn():
    warned = 0
    for trial in range(25):
        arms = {"a": control_of(6, 6, 1000 + trial), "b": control_of(6, 6, 2000 + trial)}
        rules = EarlyWarning.model_validate(
            {"alarms": [{"metric": name, "z": 1, "consecutive": 1} for name in ("vendi", "fid")]}
        )
        answer = early_warning({**arms, "control": control_of(6, 6, trial)}, rules)
        verdicts = [each["verdict"] for a in "ab" for each in answer["arms"][a]["alarms"].values()]
        warned += any(not verdict.startswith("no warning") for verdict in verdicts)
    assert warned <= 3  # at most 5% in the long run


def test_little_is_known_without_enough_control_seeds():
    arm = {s: rows_of(fid=[2.7] * 10, vendi=falling(2)) for s in range(6)}
    for control, seeds in ({"control": control_of(2, 10)}, 0), ({}, 0):
        answer = early_warning({"a": arm, **control}, RULES)
        rate = answer["false_alarms"]["vendi"]
        assert (rate["low"], rate["high"], rate["seeds"]) == (0.0, 1.0, seeds)
        assert "open" in json.dumps(answer) or "reason" in json.dumps(answer["arms"])
        assert "not known" in format_warning(answer)
    three = early_warning({"a": arm, "control": control_of(3, 10)}, RULES)
    assert three["arms"]["a"]["alarms"]["vendi"]["verdict"].startswith("open: 5 seeds")
    assert three["false_alarms"]["vendi"]["high"] > 0.7


def test_a_control_whose_seeds_are_all_alike_gives_no_band():
    alike = {s: rows_of(fid=[2.0] * 6, vendi=[1.0] * 6) for s in range(6)}
    arm = {s: rows_of(fid=[2.0] * 6, vendi=[1.0, 1.1, 0.9, 1.0, 0.9, 0.9]) for s in range(6)}
    answer = early_warning({"a": arm, "control": alike}, RULES)
    assert "reason" in answer["arms"]["a"]["alarms"]["vendi"]


@pytest.mark.parametrize(
    ("against", "extra", "at"),
    [
        ("generation0", {"vendi_se": [0.1] * 10}, 3),
        ("floor", {}, 3),
    ],
)
def test_an_alarm_can_leave_generation_0_or_the_floor(against, extra, at):
    rules = EarlyWarning.model_validate({"alarms": [{"metric": "vendi", "against": against}]})
    rows = rows_of(fid=[1.0] * 10, vendi=falling(2), **extra)
    for row in rows:
        row["floor"] = {"vendi": {"mean": 7.4, "sd": 0.2}}
    answer = early_warning({"a": {0: rows}}, rules)
    assert answer["arms"]["a"]["alarms"]["vendi"]["at"] == [at]


@pytest.mark.parametrize(
    ("relative_to", "threshold", "at"),
    [("absolute", 3.5, 2), ("generation0", 4, 4), ("floor", 5, 3)],
)
def test_an_event_crosses_a_threshold(relative_to, threshold, at):
    rules = {"metric": "fid", "threshold": threshold, "relative_to": relative_to}
    rows = rows_of(fid=[1.0, 2.0, 4.0, 4.0, 5.0])
    rows[0]["floor"] = {"fid": {"mean": 1.0, "sd": 0.5}}
    rows[3]["fid"] = 4.0
    answer = early_warning({"a": {0: rows}}, EarlyWarning.model_validate({"event": rules}))
    assert answer["arms"]["a"]["events"] == [2 if relative_to == "floor" else at]


def test_without_a_section_the_defaults_hold():
    sweep = validate_sweep({**TINY_SWEEP, "name": "tiny"}, "sweep.yaml")
    assert sweep.warning.event.metric == "fid"
    rules = sweep.warning.rules(["fid", "vendi", "coverage", "odd", "recall", "precision"])
    assert [rule.metric for rule in rules] == ["vendi", "coverage", "precision"]


@pytest.mark.parametrize(
    ("warning", "message"),
    [
        ({"control": "contol"}, "did you mean 'control'?"),
        ({"alarms": ["vendi", "vendi"]}, "has vendi twice"),
        ({"alarms": [{"metric": "vendi", "zz": 3}]}, "zz"),
        ({"event": {"metric": "odd"}}, "needs `direction`"),
        ({"event": {"metric": "fid", "relative_to": "nothing"}}, "relative_to"),
    ],
)
def test_a_wrong_warning_is_refused(warning, message):
    with pytest.raises(InputError, match=r"sweep\.yaml: warning") as caught:
        validate_sweep({**TINY_SWEEP, "name": "tiny", "warning": warning}, "sweep.yaml")
    assert message in str(caught.value)
