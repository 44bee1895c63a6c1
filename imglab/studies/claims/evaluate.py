"""From the metrics of chains to verdicts. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from imglab.store.reading import metric_value
from imglab.studies.claims.catalog import Statement
from imglab.studies.sweeps.statistics import FEWEST, mean_interval

Verdict = Literal["pass", "fail", "blocked"]
Chains = Mapping[tuple[str, int], Sequence[Mapping[str, Any]]]
"""(arm, seed) -> metrics of its generations."""


@dataclass(frozen=True)
class Finding:
    """What one statement came to: its interval over seeds, or its largest z-score."""

    says: str
    holds: bool
    estimate: float | None
    low: float | None
    high: float | None
    required: str
    n: int
    why: str = ""


@dataclass(frozen=True)
class Result:
    """A claim's verdict: it passes if every statement's interval lies where it must."""

    name: str
    family: str
    source: str
    claims: str
    verdict: Verdict
    findings: list[Finding] = field(default_factory=list)
    substitutions: list[str] = field(default_factory=list)
    why: str = ""

    def described(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


def find(statement: Statement, chains: Chains, seeds: Sequence[int], confidence: float) -> Finding:
    """Compute a statement's quantity in every seed, its interval, and whether that lies where it must."""
    each = [_quantity(statement, chains, seed) for seed in seeds]
    known = np.array([value for value in each if value is not None and math.isfinite(value)])
    log = statement.ratio is not None or statement.ratios is not None
    found = mean_interval(known, confidence)
    low, middle, high = (_scaled(value, log) for value in (found.low, found.estimate, found.high))
    holds = len(known) >= FEWEST and _inside(statement, low, high)
    missing = len(each) - len(known)
    return Finding(
        statement.says,
        holds,
        estimate=_finite(middle),
        low=_finite(low),
        high=_finite(high),
        required=_region(statement),
        n=found.n,
        why=f"undefined in {missing} of {len(each)} seeds" if missing else "",
    )


def find_z(says: str, scores: Sequence[float], told: Sequence[str], most: float) -> Finding:
    """Judge z-scores: the largest in absolute value must be below `most`; `told` says what each compared."""
    worst = max(scores, key=abs)
    why = f"largest of {len(scores)} z-scores: {'; '.join(told)}"
    return Finding(
        says, abs(worst) < most, worst, None, None, f"below {most:g} in size", len(scores), why
    )


def verdict_of(findings: Sequence[Finding]) -> Verdict:
    """A claim passes where all its statements hold."""
    return "pass" if all(found.holds for found in findings) else "fail"


def _quantity(statement: Statement, chains: Chains, seed: int) -> float | None:
    values = [
        metric_value(chains[term.arm, seed][term.generation], term.metric)
        for term in statement.terms
    ]
    if any(value is None for value in values):
        return None
    known = [value for value in values if value is not None]
    if statement.value is not None:
        return known[0]
    if statement.difference is not None:
        return known[0] - known[1]
    if min(known) <= 0:
        return None
    logs = [math.log(value) for value in known]
    return logs[0] - logs[1] - (logs[2] - logs[3] if statement.ratios is not None else 0.0)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _inside(statement: Statement, low: float, high: float) -> bool:
    above = statement.above is None or low > statement.above
    return above and (statement.below is None or high < statement.below)


def _region(statement: Statement) -> str:
    parts = [] if statement.above is None else [f"above {statement.above:g}"]
    return " and ".join(parts + ([] if statement.below is None else [f"below {statement.below:g}"]))


def _scaled(value: float, log: bool) -> float:
    return math.exp(min(value, 700.0)) if log and not math.isnan(value) else value
