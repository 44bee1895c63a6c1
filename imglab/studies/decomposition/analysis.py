"""From outcomes of cells and seeds to effects with intervals. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from imglab.studies.decomposition.design import Array, Design, Effect
from imglab.studies.sweeps.statistics import FEWEST, LEVEL, Interval, mean_interval

METHOD = (
    "Each seed gives one estimate of each effect: a weighted sum of the outcomes of its cells, "
    "which share the seed. Intervals are t-intervals of the mean over seeds, each by itself "
    f"({LEVEL:.0%}). The wider intervals hold for all effects of an outcome at once (Bonferroni); "
    "verdicts use p-values adjusted for the same effects (Holm), so that the chance of any false "
    f"verdict on an outcome is at most {1 - LEVEL:.0%}; below {FEWEST} seeds there is no verdict. "
    "Seeds share the real data, so intervals say what other seeds would show on these data."
)

ROUNDING = 1e-12
"""Effects below this share of the largest outcome are rounding errors, and count as 0."""

INTERACTIONS = {1: "positive", -1: "negative"}
MAINS = {1: "raises", -1: "lowers"}


def estimate_effects(
    design: Design, values: Array, labels: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """Return each effect with its intervals, p-values and verdict, as JSON.

    values  outcomes on the scale on which effects add up, float64 [seeds, cells]; a seed with NaN
            in any cell is left out
    labels  the names of each factor's levels, for the effects' names
    """
    complete = values[np.isfinite(values).all(1)]
    estimates = complete @ design.weights.T  # [seeds, effects]
    if len(complete):
        estimates[np.abs(estimates) <= ROUNDING * np.abs(complete).max()] = 0

    count = len(design.effects)
    intervals = [mean_interval(column) for column in estimates.T]
    simultaneous = [mean_interval(column, 1 - (1 - LEVEL) / count) for column in estimates.T]
    adjusted = holm([interval.p for interval in intervals])

    answers = []
    for number, effect in enumerate(design.effects):
        interval = intervals[number]
        answer = {
            "name": effect_name(effect, labels),
            "factors": [name for name, _ in effect.parts],
            "levels": [labels[name][level] for name, level in effect.parts],
            "estimate": _number(interval.estimate),
            "low": _number(interval.low),
            "high": _number(interval.high),
            "simultaneous_low": _number(simultaneous[number].low),
            "simultaneous_high": _number(simultaneous[number].high),
            "p": _number(interval.p),
            "p_adjusted": _number(adjusted[number]),
            "n": interval.n,
            "verdict": _verdict(effect, interval, adjusted[number]),
        }
        answers.append(answer)
    return answers


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for each other (Holm 1979); NaN stays NaN.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    ranked = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    adjusted = [math.nan] * len(p_values)

    largest = 0.0
    for rank, (p, place) in enumerate(ranked):
        largest = max(largest, min(1.0, p * (len(ranked) - rank)))
        adjusted[place] = largest
    return adjusted


def effect_name(effect: Effect, labels: Mapping[str, Sequence[str]]) -> str:
    """Name an effect as readers see it, e.g. `statistical 3x`."""
    return " and ".join(f"{name} {labels[name][level]}" for name, level in effect.parts)


def _verdict(effect: Effect, interval: Interval, adjusted: float) -> str:
    if interval.n < FEWEST:
        return f"open: {interval.n} seeds, {FEWEST} are needed"
    if not adjusted < 1 - LEVEL:
        return "no effect shown"

    sign = int(np.sign(interval.estimate))
    if len(effect.parts) == 1:
        return MAINS[sign]
    return INTERACTIONS[sign]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
