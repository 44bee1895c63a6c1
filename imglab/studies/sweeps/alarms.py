"""When an event comes and an alarm goes off in each seed of an arm. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from imglab.store.metric_order import UNSIZED
from imglab.store.reading import metric_value
from imglab.studies.sweeps.statistics import Values, control_band, on_one_scale, pooled_spread
from imglab.studies.sweeps.warning_config import Alarm, Event

Rows = Sequence[Mapping[str, Any]]
Arm = Mapping[int, Rows]
"""The rows of an arm's seeds."""
ALIKE = 1e-9
"""Spread between control seeds, relative to their values, below which they are all alike."""


def alarms_of(rule: Alarm, arm: Arm, control: Arm) -> list[int | None] | None:
    """Return the generation of each seed's alarm; None if there is nothing that it could leave.

    A seed of the control is judged by the other ones.
    """
    if not arm:
        return None
    if sizes_differ([rows[0] for rows in (*arm.values(), *control.values())], rule.metric):
        return None
    if rule.against != "control":
        deviations = [_deviations(rows, rule) for rows in arm.values()]
        if not any(np.isfinite(each).any() for each in deviations):
            return None
        return [_first(each, rule, rule.z) for each in deviations]

    length = min((len(rows) for rows in [*arm.values(), *control.values()]), default=0)
    values = _values(arm, rule.metric, length)
    others = _values(control, rule.metric, length)
    needed = 2
    if arm is control:
        needed = 3
    if len(others) < needed or not np.isfinite(others).any():
        return None

    # Fits of the same data without any randomness are all alike: any change would be an alarm.
    scaled, scaled_others = on_one_scale(values, others)
    if not pooled_spread(scaled_others)[0] > ALIKE * np.nanmax(np.abs(scaled_others)):
        return None

    at = []
    for number, row in enumerate(scaled):
        band_of = scaled_others
        if arm is control:
            band_of = np.delete(scaled_others, number, axis=0)
        at.append(_first(_from_band(row, band_of, rule.z), rule, 1.0))
    return at


def _from_band(row: Values, others: Values, z: float) -> Values:
    """Return by how many half widths a seed lies off the middle of the others' band."""
    from scipy import stats

    low, high = control_band(others, float(1 - 2 * stats.norm.sf(z)))
    with np.errstate(invalid="ignore", divide="ignore"):
        distance: Values = (row - (low + high) / 2) / ((high - low) / 2)
    return distance


def _deviations(rows: Rows, rule: Alarm) -> Values:
    """Return a metric's standard deviations off generation 0 or off the floor, float [T]."""
    values = _values({0: rows}, rule.metric, len(rows))[0]
    if rule.against == "floor":
        floor = rows[0]["floor"].get(rule.metric) or {}
        centre = floor.get("mean", math.nan)
        spread = np.full(len(rows), floor.get("sd") or math.nan)
    else:
        errors = _values({0: rows}, f"{rule.metric}_se", len(rows))[0]
        centre = values[0]
        spread = np.hypot(errors, errors[0])

    with np.errstate(invalid="ignore", divide="ignore"):
        deviations: Values = (values - centre) / spread
    return deviations


def _first(deviations: Values, rule: Alarm, limit: float) -> int | None:
    """Return the last of the first generations in a row that have left; None: never."""
    outside = {
        "rises": deviations > limit,
        "falls": deviations < -limit,
        "either": np.abs(deviations) > limit,
    }[rule.side]

    in_a_row = 0
    for g, is_outside in enumerate(outside):
        in_a_row += 1
        if not is_outside:
            in_a_row = 0
        if in_a_row == rule.consecutive:
            return g
    return None


def event_of(rows: Rows, event: Event) -> int | None:
    """Return the first generation in which the event holds; None: it never does."""
    threshold = event.threshold
    if event.relative_to == "generation0":
        threshold *= _value(rows[0], event.metric)
    elif event.relative_to == "floor":
        floor = rows[0]["floor"].get(event.metric) or {}
        beyond = threshold * (floor.get("sd") or math.nan)
        if event.side == "falls":
            beyond = -beyond
        threshold = floor.get("mean", math.nan) + beyond

    sign = 1
    if event.side == "falls":
        sign = -1
    for g, row in enumerate(rows):
        if sign * _value(row, event.metric) > sign * threshold:
            return g
    return None


def _values(arm: Arm, metric: str, length: int) -> Values:
    """Return a metric of an arm, float [seeds, length], NaN where it is undefined."""
    return np.array([[_value(row, metric) for row in rows[:length]] for rows in arm.values()])


def _value(row: Mapping[str, Any], metric: str) -> float:
    value = metric_value(row, metric)
    if value is None:
        return math.nan
    return value


def sizes_differ(rows: Rows, metric: str) -> bool:
    """Say whether a metric depends on the number of samples and was taken of different numbers.

    A metric that depends on it has a floor.
    """
    if metric in UNSIZED:
        return False
    sizes = {row.get("n_synthetic") for row in rows}
    return len(sizes) > 1 and any(metric in row["floor"] for row in rows)
