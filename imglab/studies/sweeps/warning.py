"""Early warning: how long before an event an alarm goes off, and how often it does for nothing.

An event and the alarms are rules that were fixed before the sweep ran (`warning_config`). No torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from imglab.store.reading import metric_names
from imglab.studies.sweeps.alarms import Arm, alarms_of, event_of
from imglab.studies.sweeps.statistics import (
    FEWEST,
    LEVEL,
    clopper_pearson,
    holm,
)
from imglab.studies.sweeps.warning_config import Alarm, EarlyWarning, Event

METHOD = (
    "The lead is the generation of the event minus that of the alarm, the last of the generations "
    "in a row that the rule asks for. A seed without the event counts with `at least` the "
    "generations that it went on after its alarm; an alarm that never came counts as missed, below "
    "every lead. Every alarm in the control is false: the interval of their rate is Clopper and "
    "Pearson's exact one, with each control seed judged by the others. p is that of Fisher's exact "
    "test that alarms before the event are more frequent than false ones; p_holm is corrected by "
    "Holm's method for all alarms in all arms."
)

LARGEST = 1e300
MISSED = -math.inf


def early_warning(sweep: Mapping[str, Arm], warning: EarlyWarning) -> dict[str, Any]:
    """Return events, alarms, leads and false-alarm rates of a sweep as JSON.

    sweep  arm -> seed -> rows
    """
    control = sweep.get(warning.control, {})
    names = _names(control or next(iter(sweep.values()), {}))
    rules = warning.rules(names)
    false_alarms = {rule.metric: alarms_of(rule, control, control) for rule in rules}

    arms = {}
    for name, arm in sweep.items():
        if name != warning.control:
            arms[name] = _arm(arm, control, warning.event, rules, false_alarms)
    _correct(arms)

    any_alarm = _any(list(false_alarms.values()))
    return {
        "method": METHOD,
        "event": {**warning.event.model_dump(), "direction": warning.event.side},
        "alarms": [{**rule.model_dump(), "direction": rule.side} for rule in rules],
        "control": warning.control,
        "false_alarms": {name: _rate(alarms) for name, alarms in false_alarms.items()},
        "any_false_alarm": _rate(any_alarm),
        "events_in_control": [event_of(rows, warning.event) for rows in control.values()],
        "arms": arms,
    }


def lead_of(event: int | None, alarm: int | None, generations: int) -> tuple[float, bool] | None:
    """Return the lead of a seed and whether it is only a lower bound.

    None: neither has happened, which says nothing. An event without an alarm was missed.
    """
    if event is None and alarm is None:
        return None
    if alarm is None:
        return MISSED, False
    if event is None:
        return float(generations - alarm), True
    return float(event - alarm), False


def median_lead(leads: Sequence[tuple[float, bool]]) -> tuple[float | None, bool]:
    """Return the median of leads and whether it is only a lower bound; None: most are missed."""
    if not leads:
        return None, False
    middle = float(np.median([max(lead, -LARGEST) for lead, _ in leads]))
    if middle < -LARGEST / 10:
        return None, False

    # A lead that is at least 2 may be 5: the median may then be more, unless 2 is beyond it.
    at_least = any(censored and lead <= middle for lead, censored in leads)
    return middle, at_least


def _arm(
    arm: Arm,
    control: Arm,
    event: Event,
    rules: Sequence[Alarm],
    false_alarms: Mapping[str, Sequence[int | None] | None],
) -> dict[str, Any]:
    """Return when the event came in each seed of an arm, and each alarm beside it."""
    events = [event_of(rows, event) for rows in arm.values()]
    lengths = [len(rows) for rows in arm.values()]

    alarms = {}
    for rule in rules:
        at = alarms_of(rule, arm, control)
        if at is None:
            alarms[rule.metric] = {
                "reason": "not measured, or the control has too few seeds or none that differ"
            }
            continue
        alarms[rule.metric] = _beside(at, events, lengths, false_alarms[rule.metric])
    return {"seeds": list(arm), "events": events, "alarms": alarms}


def _beside(
    at: Sequence[int | None],
    events: Sequence[int | None],
    lengths: Sequence[int],
    false_alarms: Sequence[int | None] | None,
) -> dict[str, Any]:
    """Return an arm's alarms by one rule beside its events."""
    leads = [lead_of(*each) for each in zip(events, at, lengths, strict=True)]
    informative = [lead for lead in leads if lead is not None]
    median, at_least = median_lead(informative)

    warned = sum(lead > 0 for lead, _ in informative)
    answer: dict[str, Any] = {
        "at": list(at),
        "warned": warned,
        "late": sum(MISSED < lead <= 0 for lead, _ in informative),
        "missed": sum(lead == MISSED for lead, _ in informative),
        "censored": sum(censored for _, censored in informative),
        "lead": median,
        "lead_at_least": at_least,
        "p": None,
    }
    if false_alarms:
        answer["p"] = _fisher(warned, len(at), _count(false_alarms), len(false_alarms))
        answer["enough_seeds"] = min(len(at), len(false_alarms)) >= FEWEST
    return answer


def _correct(arms: Mapping[str, Mapping[str, Any]]) -> None:
    """Add the p-values that are corrected for all alarms in all arms, and the verdicts."""
    tested = [alarm for arm in arms.values() for alarm in arm["alarms"].values() if "at" in alarm]
    corrected = holm([alarm["p"] for alarm in tested])
    for alarm, p in zip(tested, corrected, strict=True):
        alarm["p_holm"] = p
        alarm["verdict"] = _verdict(alarm)


def _verdict(alarm: dict[str, Any]) -> str:
    if not alarm.pop("enough_seeds", False):
        return f"open: {FEWEST} seeds are needed, of the arm and of the control"
    if alarm["p_holm"] is None or alarm["p_holm"] >= 1 - LEVEL:
        return "no warning shown"
    if alarm["lead"] is None or alarm["lead"] <= 0:
        return "too late"
    if alarm["censored"] == alarm["warned"]:
        return "goes off; no event came"
    return "warns"


def _any(columns: Sequence[Sequence[int | None] | None]) -> list[int | None] | None:
    """Return, for each seed, its first alarm by any rule; None if no rule could be applied."""
    usable = [column for column in columns if column is not None]
    if not usable:
        return None
    seeds = zip(*usable, strict=True)
    return [min((at for at in seed if at is not None), default=None) for seed in seeds]


def _rate(alarms: Sequence[int | None] | None) -> dict[str, Any]:
    """Return how many control seeds had an alarm, as a rate with its exact interval."""
    if alarms is None:
        return {"alarms": None, "seeds": 0, "rate": None, "low": 0.0, "high": 1.0}
    count = _count(alarms)
    low, high = clopper_pearson(count, len(alarms))
    rate = count / len(alarms)
    return {"alarms": count, "seeds": len(alarms), "rate": rate, "low": low, "high": high}


def _fisher(warned: int, seeds: int, false_alarms: int, control: int) -> float:
    from scipy import stats

    table = [[warned, seeds - warned], [false_alarms, control - false_alarms]]
    return float(stats.fisher_exact(table, alternative="greater").pvalue)


def _count(alarms: Sequence[int | None]) -> int:
    return sum(at is not None for at in alarms)


def _names(arm: Arm) -> list[str]:
    """Return the metrics that any seed of an arm has."""
    return list(dict.fromkeys(name for rows in arm.values() for name in metric_names(rows)))
