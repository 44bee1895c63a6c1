"""Verdicts as plain text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from imglab.studies.claims.catalog import Claim
from imglab.studies.claims.evaluate import Finding, Result


def format_claim(claim: Claim) -> str:
    """Return a claim in two lines."""
    return f"{claim.name} ({claim.family})\n    {claim.claims} {claim.source}"


def format_results(results: Sequence[Result]) -> str:
    """Return every verdict with its findings, and a last line that counts them."""
    lines = [line for result in results for line in _lines(result)]
    counts = Counter(result.verdict for result in results)
    told = ", ".join(
        f"{counts[verdict]} {verdict}" for verdict in ("pass", "fail", "blocked") if counts[verdict]
    )
    return "\n".join([*lines, f"{len(results)} claims: {told}"])


def _lines(result: Result) -> list[str]:
    head = f"{result.verdict.upper():8}{result.name}: {result.claims} {result.source}"
    lines = [head, *(f"    {_finding(found)}" for found in result.findings)]
    if result.why:
        lines.append(f"    {result.why}")
    if result.substitutions:
        lines.append(f"    here: {'; '.join(result.substitutions)}")
    return lines


def _finding(found: Finding) -> str:
    estimate = "undefined" if found.estimate is None else f"{found.estimate:.3g}"
    interval = (
        "" if found.low is None or found.high is None else f" ({found.low:.3g} to {found.high:.3g})"
    )
    mark = "holds" if found.holds else "does not hold"
    extra = f"; {found.why}" if found.why else ""
    return f"{mark}: {found.says}: {estimate}{interval}, must be {found.required}; n = {found.n}{extra}"
