"""Whether the first generation of an arm was a good model, in a sentence. No torch."""

from __future__ import annotations

from collections.abc import Sequence

from imglab.report.arms import Arm

REASONS = 2
"""Reasons of the gate that the sentence names; the page's table has all."""


def poor_starts(arms: Sequence[Arm]) -> list[str]:
    """Say of which arms generation 0 is a poor model, so that they show training, not collapse."""
    poor: dict[str, list[str]] = {}
    for arm in arms:
        gate = arm.rows[0].get("generation0") or {}
        if gate.get("verdict") == "poor":
            poor.setdefault(_first_reasons(gate["reasons"]), []).append(arm.name)

    sentences = []
    for reasons, names in poor.items():
        whose = ""
        if len(arms) > 1:
            whose = f" of {', '.join(names)}"
        sentences.append(
            f"Generation 0{whose} is a poor model ({reasons}): what follows shows its training "
            "more than a collapse."
        )
    return sentences


def _first_reasons(reasons: Sequence[str]) -> str:
    """Join the first of many reasons, and say how many more there are."""
    shown = "; ".join(reasons[:REASONS])
    if len(reasons) > REASONS:
        shown += f"; {len(reasons) - REASONS} more"
    return shown
