"""The gate: whether generation 0 is a good enough model for its chain to be called anything.

A chain whose first model is poor measures how that model fades, not how models collapse.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imglab.config.sections import MeasureSettings
from imglab.modality import Modality


def thresholds(section: MeasureSettings, modality: Modality) -> Mapping[str, float]:
    """Return the thresholds of a config; those that it leaves out are the modality's."""
    if section.gate == "none":
        return {}
    return {**modality.gate, **section.gate.model_dump(exclude_none=True)}


def judge_generation0(
    values: Mapping[str, Any],
    floor: Mapping[str, Any],
    thresholds: Mapping[str, float],
    trusted: Sequence[str] = (),
) -> dict[str, Any]:
    """Judge generation 0 by its metrics.

    values, floor  as in metrics.json
    thresholds     by the keys of `GateSettings`; those that are left out are not asked for
    trusted        metrics that must lie within `thresholds["trusted"]` standard deviations of
                   their floors

    The verdict is `poor` where a threshold is missed, `unknown` where none is missed but none
    could be checked or one could not, and `good` otherwise. `reasons` says which and by how much.

    >>> judge_generation0({"variance_ratio": 0.905}, {}, {"variance_ratio": 0.95})
    {'verdict': 'poor', 'reasons': ['variance_ratio is 0.905, at least 0.95 is asked for']}
    """
    misses: list[str] = []
    gaps: list[str] = []

    checks = list(_checks(values, floor, thresholds, trusted))
    for is_met, reason in checks:
        if is_met is None:
            gaps.append(reason)
        elif not is_met:
            misses.append(reason)

    if misses:
        return {"verdict": "poor", "reasons": misses + gaps}
    if not checks:
        return {"verdict": "unknown", "reasons": ["this kind of data has no thresholds"]}
    if gaps:
        return {"verdict": "unknown", "reasons": gaps}
    return {"verdict": "good", "reasons": []}


def _checks(
    values: Mapping[str, Any],
    floor: Mapping[str, Any],
    thresholds: Mapping[str, float],
    trusted: Sequence[str],
) -> Iterator[tuple[bool | None, str]]:
    """Yield for each threshold whether it is met (None: cannot be checked) and the reason."""
    if "variance_ratio" in thresholds:
        least = thresholds["variance_ratio"]
        yield _at_least(values, "variance_ratio", least, f"at least {least:g} is asked for")

    if "excess_fid" in thresholds:
        yield _near_floor(values, floor, "fid", thresholds["excess_fid"])

    for name in ("precision", "recall"):
        if name in thresholds:
            yield _below_floor(values, floor, name, thresholds[name])

    if "further_training" in thresholds:
        yield _trained_out(values, thresholds["further_training"])

    if "trusted" in thresholds:
        for name in trusted:
            yield _near_floor(values, floor, name, thresholds["trusted"])


def _at_least(
    values: Mapping[str, Any], name: str, least: float, asked: str
) -> tuple[bool | None, str]:
    value = values.get(name)
    if value is None:
        return None, f"{name} is undefined, {asked}"
    return value >= least, f"{name} is {value:.3g}, {asked}"


def _below_floor(
    values: Mapping[str, Any], floor: Mapping[str, Any], name: str, most: float
) -> tuple[bool | None, str]:
    """Check that a share lies at most `most` below its floor.

    A share that is withheld although it has a floor is a miss.
    """
    if floor.get(name) is None:
        return None, f"{name} has no floor to compare with"

    mean = floor[name]["mean"]
    asked = f"at most {most:g} below its floor of {mean:.3g} is asked for"
    if values.get(name) is None:
        return False, f"{name} is undefined, {asked}"
    return _at_least(values, name, mean - most, asked)


def _near_floor(
    values: Mapping[str, Any], floor: Mapping[str, Any], name: str, most: float
) -> tuple[bool | None, str]:
    """Check that a metric is at most `most` of its floor's deviations worse than the floor.

    Fréchet distances are worse above their floor; of any other metric both sides count.
    """
    if floor.get(name) is None or values.get(name) is None:
        return None, f"{name} or its floor is undefined"

    mean = floor[name]["mean"]
    deviation = floor[name]["sd"]
    excess = values[name] - mean
    if name != "fid":
        excess = abs(excess)
    described = f"{name} is {values[name]:.3g} beside a floor of {mean:.3g} ± {deviation:.2g}"
    asked = f"at most {most:g} times that ± away is asked for"
    return excess <= most * deviation, f"{described}; {asked}"


def _trained_out(values: Mapping[str, Any], most: float) -> tuple[bool | None, str]:
    """Check that further training on real data would not have improved the model by much."""
    gain = values.get("further_training")
    if gain is None:
        return None, "whether further training helps was not measured"

    described = f"one more fit on real data lowers the held-out loss by {gain:.1%}"
    return gain < most, f"{described}, less than {most:.1%} is asked for"
