"""Whether the first generation of an arm was a good model, in a sentence. No torch."""

from __future__ import annotations

from collections.abc import Sequence

from imglab.report.arms import Arm
from imglab.studies.first_generations import still_improves, with_control

REASONS = 2
"""Reasons of the gate that the sentence names; the page's table has all."""


def poor_starts(arms: Sequence[Arm]) -> list[str]:
    """Say of which arms generation 0 is a poor model, so that they show training, not collapse."""
    improvement = still_improves([arm.rows for arm in arms if is_control(arm)])
    poor: dict[str, list[str]] = {}
    for arm in arms:
        gate = with_control(arm.rows[0].get("generation0"), improvement)
        if gate["verdict"] == "poor":
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


def is_control(arm: Arm) -> bool:
    """Say whether every generation of an arm is trained on real data alone."""
    regime = arm.settings.get("regime.kind", arm.settings.get("regime"))
    if regime == "mix":
        return bool(arm.settings.get("regime.real_fraction") == 1.0)
    return bool(regime == "real_only")


def _first_reasons(reasons: Sequence[str]) -> str:
    """Join the first of many reasons, and say how many more there are."""
    shown = "; ".join(reasons[:REASONS])
    if len(reasons) > REASONS:
        shown += f"; {len(reasons) - REASONS} more"
    return shown
