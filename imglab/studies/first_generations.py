"""Of how many chains generation 0 was a good model, for studies of many chains. No torch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from imglab.store.reading import GATE_VERDICTS, is_number, metric_value

Rows = Sequence[Mapping[str, Any]]
"""The metrics of a chain's generations, from 0 on."""

NO_THRESHOLDS = "this kind of data has no thresholds"
"""The reason of the gate where it asks for nothing."""

FALLS_WITH_TRAINING = ("fid", "perplexity")
"""Metrics that are lower the better a model is trained."""

SURE = 3.0
"""Standard errors that the control must improve by."""

GATED = ("fid", "precision", "recall", "variance_ratio", "further_training")
"""Metrics that the gate has thresholds for, beside those that a kind of data trusts."""

LEAST_FALL = 0.02
"""Share of its value by which a metric must fall, as in the gate's `further_training` of text."""


def count_first_generations(
    chains: Iterable[Rows], *, control: Sequence[Rows] = ()
) -> dict[str, Any]:
    """Count chains by what the gate says of their generation 0.

    control  chains that start from the same generation 0 and go on with real data. Where they
             still improve, generation 0 is poor, whatever its own metrics are

    good, poor, unknown  numbers of chains; a chain that was made before the gate is unknown
    reasons              why generation 0 of the first poor chain is poor

    >>> poor = {"generation0": {"verdict": "poor", "reasons": ["recall is 0.2"]}}
    >>> count_first_generations([[poor], [{}]])
    {'good': 0, 'poor': 1, 'unknown': 1, 'reasons': ['recall is 0.2']}
    """
    improvement = still_improves(control)
    counts: dict[str, Any] = dict.fromkeys(GATE_VERDICTS, 0)
    reasons: list[str] = []

    for rows in chains:
        gate = with_control(rows[0].get("generation0"), improvement)
        verdict = gate["verdict"]
        counts[verdict] += 1
        if verdict == "poor" and not reasons:
            reasons = list(gate["reasons"])
    return {**counts, "reasons": reasons}


def with_control(gate: Mapping[str, Any] | None, improvement: str | None) -> dict[str, Any]:
    """Return what the gate says of generation 0, given what `still_improves` says of its control.

    gate  as in metrics.json; None: the chain was made before the gate
    """
    verdict = dict(gate or {"verdict": "unknown", "reasons": []})
    if improvement is None:
        return verdict
    return {**verdict, "verdict": "poor", "reasons": [*verdict["reasons"], improvement]}


def still_improves(control: Sequence[Rows]) -> str | None:
    """Say by how much a control on real data improves after generation 0; None: it does not.

    control  the chains of the control, one for each seed

    An improvement counts where a metric's mean over the seeds falls by at least 2%, and by more
    than three standard errors. These are the metric's own or those of the differences between
    seeds, whichever is larger: a few seeds alone say little of how far they lie apart. A metric
    without a standard error decides nothing.

    >>> rows = [{"fid": 0.9, "fid_se": 0.05}, {"fid": 0.3, "fid_se": 0.05}]
    >>> still_improves([rows])
    'the control on real data still improves: fid 0.9 to 0.3 in 1 generation'
    """
    for metric in FALLS_WITH_TRAINING:
        pairs = [(rows[0], rows[-1]) for rows in control if _has_errors(rows, metric)]
        if not pairs:
            continue

        before = statistics.fmean(first[metric] for first, _ in pairs)
        falls = [first[metric] - last[metric] for first, last in pairs]
        fall = statistics.fmean(falls)
        error = _error_of_mean(falls, pairs, metric)
        if fall > SURE * error and fall >= LEAST_FALL * before:
            span = _generations(max(len(rows) for rows in control) - 1)
            change = f"{metric} {before:.3g} to {before - fall:.3g} in {span}"
            return f"the control on real data still improves: {change}"
    return None


def _has_errors(rows: Rows, metric: str) -> bool:
    """Say whether the first and the last generation have a metric with its standard error."""
    names = (metric, f"{metric}_se")
    return len(rows) > 1 and all(is_number(r.get(n)) for r in (rows[0], rows[-1]) for n in names)


def _error_of_mean(
    falls: Sequence[float],
    pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
    metric: str,
) -> float:
    """Return the standard error of the mean fall of a metric."""
    errors = [row[f"{metric}_se"] for pair in pairs for row in pair]
    of_metric = math.hypot(*errors) / len(pairs)
    if len(falls) == 1:
        return of_metric
    return max(of_metric, statistics.stdev(falls) / math.sqrt(len(falls)))


def _generations(number: int) -> str:
    if number == 1:
        return "1 generation"
    return f"{number} generations"


def describe_poor(counts: Mapping[str, Any], name: str) -> str | None:
    """Say in a line how many chains have a poor generation 0; None where none has."""
    if not counts["poor"]:
        return None

    total = sum(counts[verdict] for verdict in GATE_VERDICTS)
    why = "; ".join(counts["reasons"])
    poor = f"{counts['poor']} of {total}"
    return f"{name}: generation 0 is a poor model in {poor} chains, so read training into it: {why}"


def judge_mean(
    first: Sequence[Mapping[str, Any]],
    thresholds: Mapping[str, float],
    trusted: Sequence[str] = (),
) -> dict[str, Any]:
    """Judge the mean of several first models as the gate judges one.

    One seed of six misses one standard deviation of the floor although its model has no fault, and
    those that pass have begun low by chance. So all seeds count, or none.

    first                metrics of generation 0, one for each chain
    thresholds, trusted  as of `judge_generation0`
    """
    from imglab.measure.gate import judge_generation0

    names = dict.fromkeys([*GATED, *trusted])
    values = {name: mean_of(first, name) for name in names}
    floors = {name: _mean_floor(first, name) for name in names}
    return judge_generation0(values, floors, thresholds, trusted)


def mean_of(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """Return the mean of a metric; None if a row lacks it."""
    values = [metric_value(row, name) for row in rows]
    numbers = [value for value in values if value is not None]
    if not numbers or len(numbers) < len(values):
        return None
    return statistics.fmean(numbers)


def _mean_floor(rows: Sequence[Mapping[str, Any]], name: str) -> dict[str, float] | None:
    """Return mean and standard deviation of a metric's floor, as means over the rows."""
    mean = mean_of(rows, f"floor.{name}.mean")
    deviation = mean_of(rows, f"floor.{name}.sd")
    if mean is None or deviation is None:
        return None
    return {"mean": mean, "sd": deviation}
