"""Verdicts as plain text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from imglab.studies.claims.catalog import Claim
from imglab.studies.claims.evaluate import Finding, Result, Verdict
from imglab.studies.first_generations import describe_poor


def format_claim(claim: Claim) -> str:
    """Return a claim in two lines."""
    return f"{claim.name} ({claim.family})\n    {claim.claims} {claim.source}"


def format_results(results: Sequence[Result]) -> str:
    """Return every verdict with its findings, and a last line that counts them."""
    lines = [line for result in results for line in _lines(result)]

    counts = Counter(result.verdict for result in results)
    verdicts = [verdict for verdict in get_args(Verdict) if counts[verdict]]
    summary = ", ".join(f"{counts[verdict]} {verdict}" for verdict in verdicts)
    return "\n".join([*lines, f"{len(results)} claims: {summary}"])


def _lines(result: Result) -> list[str]:
    lines = [f"{result.verdict.upper():14}{result.name}: {result.claims} {result.source}"]
    lines += [f"    {_line(finding)}" for finding in result.findings]
    if result.generation0:
        poor = describe_poor(result.generation0, "note")
        lines += [f"    {line}" for line in (poor,) if line is not None]
    if result.why:
        lines.append(f"    {result.why}")
    if result.substitutions:
        lines.append(f"    here: {'; '.join(result.substitutions)}")
    return lines


def _line(finding: Finding) -> str:
    """Return a finding as "holds: WHAT: 1.2 (1.1 to 1.3), must be above 1; n = 5"."""
    mark = "not decided"
    if finding.holds:
        mark = "holds"
    elif finding.outside:
        mark = "does not hold"
    estimate = "undefined" if finding.estimate is None else f"{finding.estimate:.3g}"
    if finding.low is not None and finding.high is not None:
        estimate += f" ({finding.low:.3g} to {finding.high:.3g})"

    line = f"{mark}: {finding.says}: {estimate}, must be {finding.required}; n = {finding.n}"
    if finding.power is not None:
        line += f"; power {finding.power:.3g}"
    if finding.null:
        line += f"; {_null(finding.null)}"
    if finding.why:
        line += f"; {finding.why}"
    return line


def _null(null: Mapping[str, Any]) -> str:
    """Return what a null run came to."""
    rejected = "not rejected"
    if null["rejected"]:
        rejected = "rejected"
    z = "z is unbounded"
    if null["z"] is not None:
        z = f"z {null['z']:+.3g}"
    return f"the wrong law ({null['law']}) is {rejected}: {z}"
