"""Whether the first generation of an arm was a good model, in a sentence. No torch."""

from __future__ import annotations

from collections.abc import Sequence

from imglab.report.arms import NOT_COMPARED, Arm
from imglab.studies.first_generations import still_improves, with_control

REASONS = 2
"""Reasons of the gate that the sentence names; the page's table has all."""


def poor_starts(arms: Sequence[Arm]) -> list[str]:
    """Say of which arms generation 0 is a poor model, so that they show training, not collapse."""
    poor: dict[str, list[str]] = {}
    for arm in arms:
        improvement = still_improves([each.rows for each in arms if is_control(each, of=arm)])
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


def is_control(arm: Arm, *, of: Arm) -> bool:
    """Say whether an arm is another one's control: the same chain, on real data alone.

    The arms of a sweep are left out: a page shows one seed of them, and the sweep's summary
    compares all.
    """
    if arm.seeds > 1:
        return False
    for key in (*arm.settings, *of.settings):
        is_free = key.startswith("regime") or key in NOT_COMPARED or key == "generations"
        if not is_free and arm.settings.get(key) != of.settings.get(key):
            return False

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
