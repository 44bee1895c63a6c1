"""Verdicts as plain text, from their JSON. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from imglab.studies.claims.claim import Claim
from imglab.studies.claims.finding import Verdict
from imglab.studies.first_generations import describe_poor

Entry = Mapping[str, Any]
"""A claim or a measurement as claims.json has it."""


def format_claim(claim: Claim) -> str:
    """Return a claim in two lines."""
    family = claim.family
    if claim.is_measurement:
        family += ", a measurement"
    return f"{claim.name} ({family})\n    {claim.claims} {claim.source}"


def format_results(entries: Sequence[Entry]) -> str:
    """Return every verdict with its findings, and a last line that counts them."""
    lines = [line for entry in entries for line in _lines(entry)]

    counts = Counter(entry["verdict"] for entry in entries if "verdict" in entry)
    parts = [f"{counts[verdict]} {verdict}" for verdict in get_args(Verdict) if counts[verdict]]
    measured = len(entries) - counts.total()
    if measured:
        parts.append(f"{measured} measured")
    withdrawn = [entry["name"] for entry in entries if entry.get("withdrawn")]
    if withdrawn:
        lines.append(f"withdrawn, since the null run holds, too: {', '.join(withdrawn)}")
    return "\n".join([*lines, f"{len(entries)} claims: {', '.join(parts)}"])


def _lines(entry: Entry) -> Iterator[str]:
    verdict = entry.get("verdict", "measured").upper()
    yield f"{verdict:14}{entry['name']}: {entry['claims']} {entry['source']}"

    for finding in entry["findings"]:
        yield f"    {_line(finding, measured='verdict' not in entry)}"
    null = entry.get("null")
    if null and null["verdict"] != "blocked" and "laws" not in null:
        yield f"    null run ({null['says']}): {null['verdict']}"
    if entry["generation0"]:
        poor = describe_poor(entry["generation0"], "note")
        if poor is not None:
            yield f"    {poor}"

    if entry["why"]:
        yield f"    {entry['why']}"
    if entry["substitutions"]:
        yield f"    here: {'; '.join(entry['substitutions'])}"
    seconds = entry["cost"].get("cpu_seconds")
    if seconds is not None:
        yield f"    {entry['cost']['chains']} chains, {seconds:g} CPU seconds"


def _line(finding: Entry, *, measured: bool) -> str:
    """Return a finding as "holds: WHAT: 1.2 (1.1 to 1.3), must be above 1; n = 5"."""
    estimate = number_text(finding["estimate"])
    if finding["low"] is not None and finding["high"] is not None:
        estimate += f" ({number_text(finding['low'])} to {number_text(finding['high'])})"

    line = f"{finding['says']}: {estimate}"
    if not measured:
        line = f"{mark_of(finding)}: {line}, must be {finding['required']}"
    line += f"; n = {finding['n']}"
    if finding["power"] is not None:
        line += f"; power {finding['power']:.3g}"
    if finding["null"]:
        line += f"; {null_text(finding['null'])}"
    if finding["why"] and not measured:
        line += f"; {finding['why']}"
    return line


def mark_of(finding: Entry) -> str:
    """Return what a finding alone says."""
    if finding["outside"]:
        return "does not hold"
    if finding["holds"]:
        return "holds"
    return "not decided"


def number_text(value: float | None) -> str:
    """Return a number with three digits."""
    if value is None:
        return "undefined"
    return f"{value:.3g}"


def null_text(null: Entry) -> str:
    """Return what the null run of a law came to."""
    rejected = "not rejected"
    if null["rejected"]:
        rejected = "rejected"
    z = "z is unbounded"
    if null["z"] is not None:
        z = f"z {null['z']:+.3g}"
    return f"the wrong law ({null['law']}) is {rejected}: {z}"
