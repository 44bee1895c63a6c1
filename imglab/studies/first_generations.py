"""Of how many chains generation 0 was a good model, for studies of many chains. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from imglab.store.reading import GATE_VERDICTS

Rows = Sequence[Mapping[str, Any]]
"""The metrics of a chain's generations, from 0 on."""


def count_first_generations(chains: Iterable[Rows]) -> dict[str, Any]:
    """Count chains by what the gate says of their generation 0.

    good, poor, unknown  numbers of chains; a chain that was made before the gate is unknown
    reasons              why generation 0 of the first poor chain is poor

    >>> poor = {"generation0": {"verdict": "poor", "reasons": ["recall is 0.2"]}}
    >>> count_first_generations([[poor], [{}]])
    {'good': 0, 'poor': 1, 'unknown': 1, 'reasons': ['recall is 0.2']}
    """
    counts: dict[str, Any] = dict.fromkeys(GATE_VERDICTS, 0)
    reasons: list[str] = []
    for rows in chains:
        gate = rows[0].get("generation0") or {}
        verdict = gate.get("verdict", "unknown")
        counts[verdict] += 1
        if verdict == "poor" and not reasons:
            reasons = list(gate["reasons"])
    return {**counts, "reasons": reasons}


def describe_poor(counts: Mapping[str, Any], name: str) -> str | None:
    """Say in a line how many chains have a poor generation 0; None where none has."""
    if not counts["poor"]:
        return None

    total = sum(counts[verdict] for verdict in GATE_VERDICTS)
    why = "; ".join(counts["reasons"])
    poor = f"{counts['poor']} of {total}"
    return f"{name}: generation 0 is a poor model in {poor} chains, so read training into it: {why}"
