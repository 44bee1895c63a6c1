"""What a claim comes to: findings of its statements, and the verdict that follows. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal["holds", "does not hold", "not decided", "blocked"]


@dataclass(frozen=True)
class Finding:
    """The result of one statement.

    holds       the interval lies inside its region; of a law, its largest |z| is small enough, and
                the wrong law is rejected where there is one
    estimate    the quantity, with the ends of its interval in `low` and `high`; of a law, the mean
                over the chains in units of the law, where |z| is largest
    n           seeds, or comparisons with a law
    outside     the interval lies wholly outside
    power       the smallest effect that is seen with a chance of 80%: a ratio's distance from 1, a
                difference in its unit, or the relative error of a law; None: unknown
    null        what a law's null run came to; empty without one
    unit        value, ratio, difference, "standard deviations of the floor", or "mean over law"
    above       ends of the region; None: it has no end there
    below       the other end
    bound       where the region comes from
    p_holds     chance to see such an interval inside if the truth lay on the region's edge
    p_outside   the same of an interval outside
    z           the largest z-score of a law
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
    unit: str = "value"
    above: float | None = None
    below: float | None = None
    bound: str = ""
    p_holds: float | None = None
    p_outside: float | None = None
    z: float | None = None

    @property
    def verdict(self) -> Verdict:
        """What this statement alone says."""
        return verdict_of([self])


@dataclass(frozen=True)
class Result:
    """A claim's verdict: it holds if every statement's interval lies inside its region.

    It does not hold if one lies wholly outside. Otherwise it is not decided.

    verdict      None: a measurement, about which nothing is claimed
    effect       the quantity that decides: that of the first statement that failed, or else of the
                 first one
    statement    what that quantity is, `unit` its unit and `region` where it must lie
    p            chance of such a verdict by accident, doubled with each look after the first, but
                 not corrected for others; `p_holm` is corrected by Holm's method for the claims of
                 its family; None: does not apply
    null         verdict of the null run, what was left out, and its findings
    withdrawn    it holds in its null run, too, and so shows nothing
    seeds        the seeds that count
    chains       folders, or files of unscored chains, beside claims.json; of laws, by statement
    arms         the same by arm: a folder for each seed, or one file for all of them
    size         the profile whose size ran
    asked        how many seeds were asked for
    look         how often it has been judged, with more seeds each time
    cost         number of chains, and what they were expected to cost, in words
    generation0  of how many of its chains generation 0 is a good model; empty without chains
    """

    name: str
    family: str
    source: str
    claims: str
    verdict: Verdict | None
    findings: list[Finding] = field(default_factory=list)
    substitutions: list[str] = field(default_factory=list)
    why: str = ""
    generation0: dict[str, Any] = field(default_factory=dict)
    question: str = ""
    section: str = ""
    limits: list[str] = field(default_factory=list)
    effect: float | None = None
    interval: list[float | None] = field(default_factory=lambda: [None, None])
    region: list[float | None] = field(default_factory=lambda: [None, None])
    unit: str = ""
    statement: str = ""
    power: float | None = None
    p: float | None = None
    p_holm: float | None = None
    null: dict[str, Any] = field(default_factory=dict)
    withdrawn: bool = False
    seeds: list[int] = field(default_factory=list)
    chains: list[str] = field(default_factory=list)
    arms: dict[str, list[str]] = field(default_factory=dict)
    size: str = ""
    asked: int = 0
    look: int = 1
    cost: dict[str, Any] = field(default_factory=dict)

    def described(self) -> dict[str, Any]:
        """Return it as JSON; a measurement has neither a verdict nor a null run."""
        tree = asdict(self)
        if self.verdict is None:
            for key in ("verdict", "null", "p", "p_holm", "withdrawn", "region"):
                del tree[key]
        return tree


def verdict_of(findings: Sequence[Finding]) -> Verdict:
    """Return whether a claim holds: all its statements do; one is refuted; or neither is shown."""
    if any(finding.outside for finding in findings):
        return "does not hold"
    if all(finding.holds for finding in findings):
        return "holds"
    return "not decided"


def deciding(findings: Sequence[Finding]) -> Finding:
    """Return the finding on which the verdict rests.

    It is the first that lies outside, or the first that is not shown; where all hold, the law with
    the largest |z|, or else the first statement.
    """
    for finding in findings:
        if finding.outside:
            return finding
    for finding in findings:
        if not finding.holds:
            return finding
    return max(findings, key=lambda finding: abs(finding.z or 0.0))


def finite(value: float) -> float | None:
    """Return a number, or None where it is none that JSON can hold."""
    if math.isfinite(value):
        return float(value)
    return None
