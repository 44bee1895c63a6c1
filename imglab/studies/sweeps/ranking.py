"""The arms of a sweep of remedies in order of what they hold, each with its cost. No torch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np

from imglab.config.yaml import read_yaml
from imglab.store.reading import is_number, metric_value
from imglab.studies.outcomes import Outcome, outcome_value
from imglab.studies.profile.definitions import HALLUCINATION, TAILS
from imglab.studies.sweeps.config import CONTROL, run_folder
from imglab.studies.sweeps.costs import COSTS, cost_of
from imglab.studies.sweeps.statistics import (
    FEWEST,
    LEVEL,
    Interval,
    Values,
    holm,
    mean_interval,
    on_one_scale,
    paired,
)
from imglab.studies.sweeps.warning_config import harm

METHOD = (
    "Arms stand in the order of their mean excess distance in the last generation: the metric less "
    "the mean of its floor, or less the control's value with the same seed where it has no floor; "
    "of a metric of which less is harm, such as recall, the largest stands first. "
    "Intervals are 95% t-intervals over seeds, of the excess on the scale of the metric. `ranks` "
    "is an interval for an arm's place, which holds for all arms together with 95%: every two arms "
    "are compared by a paired t-test over seeds, of logarithms where the metric is positive, "
    "corrected by Holm's method for all pairs, and an arm stands behind those shown to be better "
    f"and before those shown to be worse; where fewer than {FEWEST} seeds all differ by the same "
    "number, as counts do, p is that of their signs. Costs are means over seeds of generations "
    "1, 2, ...: fits, with what a remedy adds to them, draws and curation, without scoring. "
    "Contrasts are those of the sweep, fixed before it ran."
)

ALPHA = 1 - LEVEL
Rows = Sequence[Mapping[str, Any]]
Sweep = Mapping[str, Mapping[int, Rows]]
Better = Literal["less", "more"]


def is_of_remedies(folder: Path, arms: Sequence[str], seeds: Mapping[str, Sequence[int]]) -> bool:
    """Say whether an arm of a sweep that has begun has a remedy."""
    for arm in arms:
        for seed in seeds[arm]:
            config = read_yaml(run_folder(folder, arm, seed) / "config.yaml")
            if isinstance(config, dict) and config.get("remedy"):
                return True
            break  # the seeds of an arm have one config
    return False


def ranking_of(
    folder: Path, sweep: Sweep, contrasts: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the key `ranking` of a sweep's summary; nothing where no arm has a remedy.

    sweep      arm -> seed -> rows
    contrasts  the sweep's, answered and corrected
    """
    seeds = {arm: list(rows) for arm, rows in sweep.items()}
    if not is_of_remedies(folder, list(sweep), seeds):
        return {}

    metric = _ranked_metric(contrasts)
    ranking: dict[str, Any] = {"method": METHOD, "metric": metric}
    reason = _why_not(sweep, metric)
    if reason:
        return {"ranking": {**ranking, "reason": reason, "arms": []}}
    return {"ranking": {**ranking, **_rank_arms(folder, sweep, contrasts, metric)}}


def _rank_arms(
    folder: Path, sweep: Sweep, contrasts: Sequence[Mapping[str, Any]], metric: str
) -> dict[str, Any]:
    """Return the arms by their excess in the last generation that all seeds have finished."""
    last = min(len(rows) for of_arm in sweep.values() for rows in of_arm.values()) - 1
    lasting = {
        arm: {seed: rows[last] for seed, rows in of_arm.items()} for arm, of_arm in sweep.items()
    }
    values = {
        arm: {seed: value_or_nan(row, metric) for seed, row in rows.items()}
        for arm, rows in lasting.items()
    }
    first = next(iter(next(iter(lasting.values())).values()))
    reference, excess = _excess(values, first["floor"].get(metric) or {})
    better = _better(metric)
    ranks = rank_intervals(values, better)
    named = {
        "tail_recall": _first_of(lasting, [each.metric for each in TAILS]),
        "precision": _first_of(lasting, [each.metric for each in HALLUCINATION]),
    }

    arms = []
    for arm in sorted(excess, key=lambda name: _order(excess[name], better)):
        rows = list(lasting[arm].values())
        described = {"arm": arm, "seeds": len(rows), "excess": _interval(excess[arm].values())}
        described["excess_seeds"] = len(_defined(excess[arm].values()))
        described |= {"ranks": ranks[arm]}
        described |= {key: _interval_of(rows, path) for key, path in named.items()}
        described["cost"] = _costs(folder, arm, sweep[arm], last)
        described["contrasts"] = _contrasts_of(arm, contrasts)
        arms.append(described)
    metrics = {"reference": reference, **named}
    return {"generation": last, "better": better, "metrics": metrics, "arms": arms}


def rank_intervals(
    values: Mapping[str, Mapping[int, float]], better: Better = "less"
) -> dict[str, list[int]]:
    """Return the best and the worst rank of each arm that the seeds do not exclude.

    values  arm -> seed -> value of a metric
    better  whether less or more of it is better

    >>> near = {0: 1.0, 1: 1.1, 2: 0.9, 3: 1.05, 4: 0.95}
    >>> rank_intervals({"a": near, "b": {seed: value + 5 for seed, value in near.items()}})
    {'a': [1, 1], 'b': [2, 2]}
    """
    pairs = list(combinations(values, 2))
    intervals = [_compared(values[one], values[two]) for one, two in pairs]
    corrected = holm([_chance_of(each) for each in intervals])

    # How many arms are shown to be better, and worse, than each.
    ahead: Counter[str] = Counter()
    behind: Counter[str] = Counter()
    for (one, two), interval, p in zip(pairs, intervals, corrected, strict=True):
        if p is None or p >= ALPHA:
            continue
        order = [one, two]
        if (interval.estimate > 0) == (better == "less"):
            order.reverse()
        behind[order[0]] += 1
        ahead[order[1]] += 1
    return {arm: [1 + ahead[arm], len(values) - behind[arm]] for arm in values}


def _chance_of(interval: Interval) -> float | None:
    """Return the p-value of a comparison; None: there is none.

    A few seeds whose counts happen to differ by the same number have no spread, and would be sure.
    """
    if math.isnan(interval.p):
        return None
    if interval.low == interval.high and interval.n < FEWEST:
        return max(interval.p, 2.0 ** (1 - interval.n))
    return interval.p


def _better(metric: str) -> Better:
    """Say whether less or more of a metric is better; of an unknown one less: it is a distance."""
    if harm(metric) == "falls":
        return "more"
    return "less"


def _interval(values: Iterable[float | None]) -> dict[str, float | None]:
    """Return mean, low and high over seeds; an end that is unbounded is None."""
    interval = mean_interval(_defined(values))
    ends = {"mean": interval.estimate, "low": interval.low, "high": interval.high}
    return {name: float(end) if math.isfinite(end) else None for name, end in ends.items()}


def _ranked_metric(contrasts: Sequence[Mapping[str, Any]]) -> str:
    """Return the metric that most contrasts of the sweep ask about."""
    counts = Counter(str(contrast["metric"]) for contrast in contrasts)
    if not counts:
        return "fid"
    return counts.most_common(1)[0][0]


def _why_not(sweep: Sweep, metric: str) -> str:
    """Say why arms cannot be ranked; "" if they can."""
    rows = [of_seed[0] for of_arm in sweep.values() for of_seed in of_arm.values()]
    if len({row.get("n_synthetic") for row in rows}) > 1:
        return f"{metric} was measured at different numbers of samples: give measure.samples"
    if all(metric_value(row, metric) is None for row in rows):
        return f"{metric} is undefined"
    return ""


def _excess(
    values: Mapping[str, Mapping[int, float]], floor: Mapping[str, Any]
) -> tuple[str, dict[str, dict[int, float]]]:
    """Return what a metric is compared with, and the excess: arm -> seed -> value or NaN.

    Arms that are scored on as many samples have the same floor.
    """
    if is_number(floor.get("mean")):
        return "floor", {
            arm: {seed: each - float(floor["mean"]) for seed, each in of_arm.items()}
            for arm, of_arm in values.items()
        }

    control = values.get(CONTROL, {})
    return CONTROL, {
        arm: {seed: each - control.get(seed, math.nan) for seed, each in of_arm.items()}
        for arm, of_arm in values.items()
    }


def _compared(one: Mapping[int, float], two: Mapping[int, float]) -> Interval:
    """Compare two arms, paired by seed."""
    seeds = [seed for seed in one if seed in two]
    first = np.array([one[seed] for seed in seeds])
    second = np.array([two[seed] for seed in seeds])
    first, second = on_one_scale(first, second)
    return paired(first, second)


def _order(excess: Mapping[int, float], better: Better) -> float:
    """Return by what an arm is sorted: its mean, or behind all others without one."""
    values = _defined(excess.values())
    if not len(values):
        return math.inf
    if better == "more":
        return -float(values.mean())
    return float(values.mean())


def _first_of(
    lasting: Mapping[str, Mapping[int, Mapping[str, Any]]], paths: Sequence[str]
) -> str | None:
    """Return the first of several metrics that any arm has."""
    rows = [row for of_arm in lasting.values() for row in of_arm.values()]
    for path in paths:
        if any(outcome_value(row, Outcome(metric=path)) is not None for row in rows):
            return path
    return None


def _interval_of(rows: Rows, metric: str | None) -> dict[str, float | None] | None:
    """Return the interval of a metric over seeds; None where no arm has it."""
    if metric is None:
        return None
    values = [outcome_value(row, Outcome(metric=metric)) for row in rows]
    return _interval(values)


def _costs(
    folder: Path, arm: str, of_seeds: Mapping[int, Rows], last: int
) -> dict[str, dict[str, float | None] | None]:
    """Return the interval of each cost over the seeds of an arm; None where one is not known."""
    each = [
        cost_of(run_folder(folder, arm, seed), rows[: last + 1]) for seed, rows in of_seeds.items()
    ]
    costs: dict[str, dict[str, float | None] | None] = {}
    for name in COSTS:
        values = [cost[name] for cost in each]
        costs[name] = None
        if None not in values:
            costs[name] = _interval(values)
    return costs


def _contrasts_of(arm: str, contrasts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the answers to the sweep's questions about an arm."""
    keys = ("metric", "scale", "estimate", "low", "high", "p_holm", "verdict")
    return [
        {"against": each["arms"][1], **{key: each.get(key) for key in keys}}
        for each in contrasts
        if each["arms"][0] == arm
    ]


def value_or_nan(row: Mapping[str, Any], metric: str) -> float:
    """Return a metric of a generation; NaN where it is undefined."""
    value = metric_value(row, metric)
    if value is None:
        return math.nan
    return value


def _defined(values: Iterable[float | None]) -> Values:
    """Return the numbers among values, float64 [n]."""
    numbers = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    return numbers[np.isfinite(numbers)]
