"""From the metrics of chains to findings. No torch."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import t as student_t

from imglab.store.reading import metric_value
from imglab.studies.claims.claim import NullRun, Statement, Term
from imglab.studies.claims.finding import Finding, finite
from imglab.studies.sweeps.statistics import FEWEST, Interval, mean_interval

Chains = Mapping[tuple[str, int], Sequence[Mapping[str, Any]]]
"""(arm, seed) -> metrics of its generations."""

STAND_IN = "null: "
"""Before the name of an arm: the one that stands for it in a null run."""


def find(statement: Statement, chains: Chains, seeds: Sequence[int], confidence: float) -> Finding:
    """Compute a statement's quantity in every seed and its interval, and say whether it holds.

    It holds if the interval lies in the statement's region and enough seeds have the quantity.
    """
    of_seeds = [_quantity(statement, chains, seed) for seed in seeds]
    defined = [value for value in of_seeds if value is not None and math.isfinite(value)]
    interval = mean_interval(np.array(defined), confidence)
    low, middle, high = _as_stated(statement, interval)

    enough = len(defined) >= FEWEST
    holds = enough and _inside(statement, low, high)
    outside = enough and _outside(statement, low, high)
    remarks = []
    if len(defined) < len(of_seeds):
        remarks.append(f"undefined in {len(of_seeds) - len(defined)} of {len(of_seeds)} seeds")
    if enough and not holds and not outside:
        remarks.append(_seeds_needed(statement, interval))

    p_holds, p_outside = _chances(statement, interval, confidence)
    return Finding(
        statement.says,
        holds,
        estimate=finite(middle),
        low=finite(low),
        high=finite(high),
        required=region_of(statement),
        n=interval.n,
        why="; ".join(remarks),
        outside=outside,
        power=_power(statement, interval, confidence),
        unit=statement.unit,
        above=statement.above,
        below=statement.below,
        bound=statement.bound,
        p_holds=p_holds,
        p_outside=p_outside,
    )


def find_null(
    statements: Sequence[Statement],
    null: NullRun,
    chains: Chains,
    seeds: Sequence[int],
    confidence: float,
) -> list[Finding]:
    """Judge statements with the phenomenon absent: other arms stand for those that have it.

    In each seed the arms that have no stand-in, and each stand-in, read chains of seeds of their
    own, those that follow in the list of seeds, in an order that is drawn. So the control can stand
    for the treatment. Without the draw the differences of an arm from its neighbours would add up
    to nothing exactly, whatever the margin; with it they scatter about nothing as those of a
    treatment without effect do.
    """
    absent = _read_apart(null, chains, seeds, random.Random(f"null run of {statements[0].says}"))

    findings = []
    for statement in statements:
        replaced = {key: _replaced(value, null) for key, value in _terms(statement).items()}
        findings.append(find(statement.model_copy(update=replaced), absent, seeds, confidence))
    return findings


def _read_apart(
    null: NullRun, chains: Chains, seeds: Sequence[int], drawn: random.Random
) -> dict[tuple[str, int], Sequence[Mapping[str, Any]]]:
    """Return chains by arm and seed, and those of the stand-in of each arm that has one."""
    arms = {arm for arm, _ in chains}
    absent = {}
    for place, seed in enumerate(seeds):
        steps = list(range(len(null.arms) + 1))
        drawn.shuffle(steps)
        read = [seeds[(place + step) % len(seeds)] for step in steps]

        for arm in arms:
            absent[arm, seed] = chains[arm, read[-1]]
        for of_stand_in, (arm, stand_in) in zip(read, null.arms.items(), strict=False):
            absent[STAND_IN + arm, seed] = chains[stand_in, of_stand_in]
    return absent


def _terms(statement: Statement) -> dict[str, Term | list[Term]]:
    """Return the terms of a statement by the name of its quantity."""
    names = ("value", "ratio", "difference", "ratios", "differences")
    values = {name: getattr(statement, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _replaced(terms: Term | list[Term], null: NullRun) -> Term | list[Term]:
    """Return terms about the arms that stand for those of a null run."""
    if isinstance(terms, Term):
        if terms.arm not in null.arms:
            return terms
        return terms.model_copy(update={"arm": STAND_IN + terms.arm})
    replaced = [_replaced(term, null) for term in terms]
    return [term for term in replaced if isinstance(term, Term)]


def _quantity(statement: Statement, chains: Chains, seed: int) -> float | None:
    """Return a statement's quantity in a seed, ratios as logarithms; None if it is undefined."""
    values = []
    for term in statement.terms:
        value = _term_value(term, chains[term.arm, seed][term.generation])
        if value is None:
            return None
        values.append(value)

    if statement.value is not None:
        return values[0]
    if not statement.on_log_scale:
        difference = values[0] - values[1]
        if statement.differences is not None:
            difference -= values[2] - values[3]
        if not statement.in_floor_sd:
            return difference
        return _in_floor_sd(difference, statement.terms[0], chains, seed)

    if min(values) <= 0:
        return None
    logs = [math.log(value) for value in values]
    if statement.ratios is not None:
        return logs[0] - logs[1] - (logs[2] - logs[3])
    return logs[0] - logs[1]


def _in_floor_sd(difference: float, term: Term, chains: Chains, seed: int) -> float | None:
    """Return a difference in standard deviations of a term's floor; None if it has none."""
    deviation = metric_value(chains[term.arm, seed][term.generation], f"floor.{term.metric}.sd")
    if deviation is None or deviation <= 0:
        return None
    return difference / deviation


def _term_value(term: Term, row: Mapping[str, Any]) -> float | None:
    """Return a term's number in a generation, over its floor where that is asked for."""
    value = metric_value(row, term.metric)
    if value is None or not term.over_floor:
        return value
    floor = metric_value(row, f"floor.{term.metric}.mean")
    if floor is None:
        return None
    return value - floor


def _as_stated(statement: Statement, interval: Interval) -> tuple[float, float, float]:
    """Return low end, estimate and high end of an interval, those of ratios not as logarithms."""
    if statement.on_log_scale:
        return _from_log(interval.low), _from_log(interval.estimate), _from_log(interval.high)
    return interval.low, interval.estimate, interval.high


def _inside(statement: Statement, low: float, high: float) -> bool:
    """Say whether an interval lies in a statement's region."""
    if statement.above is not None and not low > statement.above:
        return False
    return statement.below is None or high < statement.below


def _outside(statement: Statement, low: float, high: float) -> bool:
    """Say whether an interval lies wholly outside a statement's region."""
    if statement.above is not None and high < statement.above:
        return True
    return statement.below is not None and low > statement.below


def _chances(
    statement: Statement, interval: Interval, confidence: float
) -> tuple[float | None, float | None]:
    """Return the one-sided p-values of an interval inside the region, and of one outside it.

    Inside is shown against every bound at once, so that the largest counts; outside is shown
    against any of them.
    """
    if interval.n < FEWEST or not math.isfinite(interval.high - interval.low):
        return None, None

    beyond = []
    if statement.above is not None:
        beyond.append(interval.estimate - _on_scale(statement, statement.above))
    if statement.below is not None:
        beyond.append(_on_scale(statement, statement.below) - interval.estimate)

    error = _error(interval, confidence)
    if error == 0:
        inside = [float(distance <= 0) for distance in beyond]
        outside = [float(distance >= 0) for distance in beyond]
    else:
        inside = [float(student_t.sf(each / error, interval.n - 1)) for each in beyond]
        outside = [float(student_t.cdf(each / error, interval.n - 1)) for each in beyond]
    return max(inside), min(outside)


def _error(interval: Interval, confidence: float) -> float:
    """Return the standard error behind an interval."""
    two_sided = float(student_t.ppf((1 + confidence) / 2, interval.n - 1))
    return (interval.high - interval.low) / 2 / two_sided


def _on_scale(statement: Statement, bound: float) -> float:
    """Return a bound on the scale on which the quantity is averaged."""
    if not statement.on_log_scale:
        return bound
    return math.log(bound) if bound > 0 else -math.inf


def _power(statement: Statement, interval: Interval, confidence: float) -> float | None:
    """Return the smallest effect that the interval would show with a chance of 80%.

    A ratio's effect is a factor, any other's a difference: (t_confidence + t_80%) standard errors.
    """
    if interval.n < FEWEST or not math.isfinite(interval.high - interval.low):
        return None

    two_sided, one_sided = student_t.ppf([(1 + confidence) / 2, 0.8], interval.n - 1)
    effect = (interval.high - interval.low) / 2 / two_sided * (two_sided + one_sided)
    if statement.on_log_scale:
        return finite(_from_log(effect))
    return finite(float(effect))


def _seeds_needed(statement: Statement, interval: Interval) -> str:
    """Say how many seeds would decide, if they scatter as these do."""
    bounds = [bound for bound in (statement.above, statement.below) if bound is not None]
    bounds = [_on_scale(statement, bound) for bound in bounds]
    distance = min((abs(interval.estimate - bound) for bound in bounds), default=0.0)
    half = (interval.high - interval.low) / 2
    if not (distance > 0 and math.isfinite(half)):
        return "no number of seeds is known to decide"
    needed = max(interval.n + 1, math.ceil(interval.n * (half / distance) ** 2))
    return f"about {needed} seeds would decide"


def region_of(statement: Statement) -> str:
    """Return where a statement's interval must lie, in words."""
    bounds = []
    if statement.above is not None:
        bounds.append(f"above {statement.above:g}")
    if statement.below is not None:
        bounds.append(f"below {statement.below:g}")
    region = " and ".join(bounds)
    if statement.in_floor_sd:
        region += " standard deviations of the floor"
    return region


def _from_log(value: float) -> float:
    """Return the exponential, which stays finite; NaN stays NaN."""
    if math.isnan(value):
        return value
    return math.exp(min(value, 700.0))
