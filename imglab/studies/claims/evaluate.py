"""From the metrics of chains to verdicts. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np

from imglab.store.reading import metric_value
from imglab.studies.claims.catalog import Statement
from imglab.studies.sweeps.statistics import FEWEST, mean_interval

Verdict = Literal["pass", "fail", "blocked"]
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
    """A claim's verdict: it passes if every statement's interval lies where it must.

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

    why = ""
    if len(defined) < len(of_seeds):
        why = f"undefined in {len(of_seeds) - len(defined)} of {len(of_seeds)} seeds"

    return Finding(
        statement.says,
        len(defined) >= FEWEST and _inside(statement, low, high),
        estimate=_finite(middle),
        low=_finite(low),
        high=_finite(high),
        required=_region(statement),
        n=interval.n,
        why=why,
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

    why = f"the wrong law ({law}) is not rejected: z {worst:+.1f}, needed is {least:g} in size"
    if worst:
        why += f", about {math.ceil((least / abs(worst)) ** 2)} times as many chains"
    return replace(finding, holds=False, null=null, why=f"{why}; {finding.why}")


def verdict_of(findings: Sequence[Finding]) -> Verdict:
    """A claim passes if all its statements hold."""
    return "pass" if all(finding.holds for finding in findings) else "fail"


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


def _region(statement: Statement) -> str:
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
