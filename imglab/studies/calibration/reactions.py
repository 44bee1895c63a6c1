"""From scores to reactions: how far damage moves a metric, in units of its floor's spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imglab.store.reading import BOOKKEEPING, BY_DECILE, is_number

QUANTILES = (0.025, 0.975)
"""The floor's 95% range lies between these quantiles."""

Scores = Mapping[str, float | None]
"""Metrics of one set of samples by name; None where undefined."""


@dataclass(frozen=True)
class Floor:
    """What a metric scores on undamaged real data, over splits.

    low, high  2.5% and 97.5% quantiles
    """

    mean: float
    sd: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float | None]) -> Floor | None:
        """Return the floor of a metric's values; None where fewer than half of them are defined."""
        defined = _defined(values)
        if len(defined) < 2 or 2 * len(defined) < len(values):
            return None
        low, high = np.quantile(defined, QUANTILES)
        return cls(float(np.mean(defined)), float(np.std(defined, ddof=1)), float(low), float(high))


def scalars(values: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the metrics of a row that are numbers or undefined, without errors and bookkeeping.

    Of a list by decile the first is taken, as `<name>.1`; other lists and tables are left out.
    """
    numbers: dict[str, float | None] = {}
    for name, value in values.items():
        if name.endswith("_se") or name in BOOKKEEPING:
            continue
        if name.endswith(BY_DECILE) and value is not None:
            numbers |= {f"{name}.1": first for first in value[:1] if _is_scalar(first)}
        elif _is_scalar(value):
            numbers[name] = value
    return numbers


def floors(splits: Sequence[Scores]) -> dict[str, Floor]:
    """Return the floor of each metric that has one."""
    names = {name: None for scores in splits for name in scores}
    floor_of = {name: Floor.of([scores.get(name) for scores in splits]) for name in names}
    return {name: floor for name, floor in floor_of.items() if floor is not None}


def reaction(
    floor: Floor, values: Sequence[Sequence[float | None]], strengths: Sequence[float]
) -> dict[str, Any]:
    """Describe how a metric reacts to a damage.

    values  at each of the strengths, which ascend, the metric's value in each repeat

    values     mean over the repeats; None where fewer than half are defined
    units      distance of that mean from the floor's mean, over the floor's standard deviation;
               None where the floor has no spread
    direction  1 above the floor's 95% range at the greatest strength, -1 below it, 0 inside it, or
               where the 95% interval of the mean over repeats holds the floor's mean; None where
               the metric is undefined there
    first      the smallest strength from which on the mean is outside that range on this side
    """
    means = [_mean(of_strength) for of_strength in values]
    sides = [_side(floor, of_strength) for of_strength in values]
    direction = sides[-1]

    first = None
    if direction:
        for strength, side in zip(reversed(strengths), reversed(sides), strict=True):
            if side != direction:
                break
            first = strength
    units = [_units(floor, mean) for mean in means]
    return {"values": means, "units": units, "direction": direction, "first": first}


def agreement(result: Mapping[str, Any], metric: str = "fid") -> list[dict[str, Any]]:
    """Return how similarly extractors rank damage: Spearman's correlation of a metric's values.

    result  what `Calibration` computes

    One entry for each two extractors: their names, the correlation over all pairs of damage and
    strength that both score, and the number of these pairs. With fewer than three it is None.
    """
    from scipy.stats import spearmanr

    columns = {
        scores["source"]: _by_damage(scores["reactions"][metric])
        for scores in result["scores"]
        if metric in scores["reactions"]
    }
    names = list(columns)

    agreements = []
    for at, one in enumerate(names):
        for other in names[at + 1 :]:
            common = sorted(columns[one].keys() & columns[other].keys())
            correlation = None
            if len(common) >= 3:
                pairs = [[columns[name][key] for key in common] for name in (one, other)]
                correlation = _number(spearmanr(*pairs).statistic)
            agreements.append(
                {"extractors": [one, other], "spearman": correlation, "pairs": len(common)}
            )
    return agreements


def _by_damage(reactions: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, int], float]:
    """Return the defined values of a metric by damage and place of the strength."""
    return {
        (damage, place): value
        for damage, of_damage in reactions.items()
        for place, value in enumerate(of_damage["values"])
        if value is not None
    }


def _is_scalar(value: Any) -> bool:
    return value is None or is_number(value)


def _defined(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Sequence[float | None]) -> float | None:
    defined = _defined(values)
    if not defined or 2 * len(defined) < len(values):
        return None
    return float(np.mean(defined))


def _side(floor: Floor, values: Sequence[float | None]) -> int | None:
    """Return on which side of the floor's range the repeats are; None where undefined."""
    mean = _mean(values)
    if mean is None:
        return None

    # Damage that only widens a metric's spread moves the mean of a few repeats by chance.
    if abs(mean - floor.mean) <= _half_width(_defined(values)):
        return 0
    return int(mean > floor.high) - int(mean < floor.low)


def _half_width(values: Sequence[float]) -> float:
    """Return half the 95% t-interval of the mean; 0 for a single value, which has none."""
    from scipy.stats import t

    if len(values) < 2:
        return 0.0
    error = np.std(values, ddof=1) / len(values) ** 0.5
    return float(t.ppf(QUANTILES[1], len(values) - 1) * error)


def _units(floor: Floor, value: float | None) -> float | None:
    if value is None or floor.sd <= 0:
        return None
    return (value - floor.mean) / floor.sd


def _number(value: Any) -> float | None:
    """Return a correlation as a number; None for NaN, which constant values have."""
    if np.isnan(value):
        return None
    return float(value)
