"""From the metrics of chains to verdicts. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
from scipy.stats import t as student_t

from imglab.store.reading import metric_value
from imglab.studies.claims.catalog import Statement
from imglab.studies.sweeps.statistics import FEWEST, Interval, mean_interval

Verdict = Literal["holds", "does not hold", "not decided", "blocked"]
BEYOND = 0.8416
"""How many standard errors beyond its threshold an effect must lie to be seen in 80% of cases."""

Chains = Mapping[tuple[str, int], Sequence[Mapping[str, Any]]]
"""(arm, seed) -> metrics of its generations."""


@dataclass(frozen=True)
class Finding:
    """The result of one statement: its interval over seeds, or its largest z-score.

    holds    the interval lies inside its region, and the null run is rejected where there is one
    outside  the interval lies wholly outside
    power    the smallest effect that is seen with a chance of 80%: a ratio's distance from 1, a
             difference, or the relative error of a law; None: unknown
    null     what the null run came to; empty without one
    """

    says: str
    holds: bool
    estimate: float | None
    low: float | None
    high: float | None
    required: str
    n: int
    why: str = ""
    outside: bool = False
    power: float | None = None
    null: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """A claim's verdict: it holds if every statement's interval lies inside its region.

    It does not hold if one lies wholly outside. Otherwise it is not decided.

    generation0  of how many of its chains generation 0 is a good model; empty without chains
    """

    name: str
    family: str
    source: str
    claims: str
    verdict: Verdict
    findings: list[Finding] = field(default_factory=list)
    substitutions: list[str] = field(default_factory=list)
    why: str = ""
    generation0: dict[str, Any] = field(default_factory=dict)

    def described(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


def find(statement: Statement, chains: Chains, seeds: Sequence[int], confidence: float) -> Finding:
    """Compute a statement's quantity in every seed and its interval, and say whether it holds.

    It holds if the interval lies in the statement's region and enough seeds have the quantity.
    """
    of_seeds = [_quantity(statement, chains, seed) for seed in seeds]
    defined = [value for value in of_seeds if value is not None and math.isfinite(value)]
    interval = mean_interval(np.array(defined), confidence)

    bounds = (interval.low, interval.estimate, interval.high)
    if statement.ratio is not None or statement.ratios is not None:
        low, middle, high = map(_from_log, bounds)
    else:
        low, middle, high = bounds

    enough = len(defined) >= FEWEST
    holds = enough and _inside(statement, low, high)
    outside = enough and _outside(statement, low, high)
    remarks = []
    if len(defined) < len(of_seeds):
        remarks.append(f"undefined in {len(of_seeds) - len(defined)} of {len(of_seeds)} seeds")
    if enough and not holds and not outside:
        remarks.append(_seeds_needed(statement, interval))

    return Finding(
        statement.says,
        holds,
        estimate=_finite(middle),
        low=_finite(low),
        high=_finite(high),
        required=region_of(statement),
        n=interval.n,
        why="; ".join(remarks),
        outside=outside,
        power=_power(statement, interval, confidence),
    )


@dataclass(frozen=True)
class Comparison:
    """The mean of a metric over many chains, its standard error, and what a law expects."""

    metric: str
    generation: int
    mean: float
    error: float
    law: float

    @property
    def z(self) -> float:
        """The difference in standard errors; without any, values must be equal up to rounding."""
        difference = self.mean - self.law
        if self.error:
            return difference / self.error
        return 0.0 if abs(difference) < 1e-9 else math.inf

    def __str__(self) -> str:
        return (
            f"{self.metric} in generation {self.generation} {self.mean:.4g} +- {self.error:.2g}, "
            f"{self.law:.4g} expected, z {self.z:+.1f}"
        )


def find_z(says: str, comparisons: Sequence[Comparison], most: float) -> Finding:
    """Judge comparisons with a law: the largest |z| must be below `most`.

    Its power is the smallest relative error of the law that it would see with a chance of 80% in
    every metric, each in its sharpest generation.
    """
    worst = max((each.z for each in comparisons), key=abs)
    seen: dict[str, float] = {}
    for each in comparisons:
        if each.error and each.law:
            effect = (most + BEYOND) * each.error / abs(each.law)
            seen[each.metric] = min(effect, seen.get(each.metric, effect))
    texts = "; ".join(map(str, comparisons))

    return Finding(
        says,
        abs(worst) < most,
        estimate=worst,
        low=None,
        high=None,
        required=f"below {most:g} in size",
        n=len(comparisons),
        why=f"largest of {len(comparisons)} z-scores: {texts}",
        outside=abs(worst) >= most,
        power=max(seen.values(), default=None),
    )


def with_null(
    finding: Finding, comparisons: Sequence[Comparison], least: float, law: str
) -> Finding:
    """Add the null run of a finding about a law: the same chains against a wrong law.

    That must be rejected, by a |z| above `least`. Otherwise the chains cannot tell the laws apart,
    and nothing is decided.
    """
    worst = max((each.z for each in comparisons), key=abs, default=0.0)
    null = {"law": law, "z": _finite(worst), "rejected": abs(worst) > least}
    if null["rejected"]:
        return replace(finding, null=null)

    why = "the laws are the same in what is compared"
    if worst:
        times = math.ceil((least / abs(worst)) ** 2)
        why = f"about {times} times as many chains would tell the laws apart"
    return replace(finding, holds=False, null=null, why=f"{why}; {finding.why}")


def verdict_of(findings: Sequence[Finding]) -> Verdict:
    """Return whether a claim holds: all its statements do; one is refuted; or neither is shown."""
    if any(finding.outside for finding in findings):
        return "does not hold"
    if all(finding.holds for finding in findings):
        return "holds"
    return "not decided"


def _quantity(statement: Statement, chains: Chains, seed: int) -> float | None:
    """Return a statement's quantity in a seed, ratios as logarithms; None if it is undefined."""
    values = []
    for term in statement.terms:
        value = metric_value(chains[term.arm, seed][term.generation], term.metric)
        if value is None:
            return None
        values.append(value)

    if statement.value is not None:
        return values[0]
    if statement.difference is not None:
        return values[0] - values[1]

    if min(values) <= 0:
        return None
    logs = [math.log(value) for value in values]
    if statement.ratios is not None:
        return logs[0] - logs[1] - (logs[2] - logs[3])
    return logs[0] - logs[1]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


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


def _power(statement: Statement, interval: Interval, confidence: float) -> float | None:
    """Return the smallest effect that the interval would show with a chance of 80%.

    A ratio's effect is a factor, any other's a difference: (t_confidence + t_80%) standard errors.
    """
    if interval.n < FEWEST or not math.isfinite(interval.high - interval.low):
        return None

    two_sided, one_sided = student_t.ppf([(1 + confidence) / 2, 0.8], interval.n - 1)
    effect = (interval.high - interval.low) / 2 / two_sided * (two_sided + one_sided)
    if statement.ratio is not None or statement.ratios is not None:
        return _finite(_from_log(effect))
    return _finite(float(effect))


def _seeds_needed(statement: Statement, interval: Interval) -> str:
    """Say how many seeds would decide, if they scatter as these do."""
    bounds = [bound for bound in (statement.above, statement.below) if bound is not None]
    if statement.ratio is not None or statement.ratios is not None:
        bounds = [math.log(bound) for bound in bounds if bound > 0]
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
    return " and ".join(bounds)


def _from_log(value: float) -> float:
    """Return the exponential, which stays finite; NaN stays NaN."""
    if math.isnan(value):
        return value
    return math.exp(min(value, 700.0))
