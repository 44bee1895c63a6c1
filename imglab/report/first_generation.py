"""What the first generation of an arm was trained on, and whether it was a good model. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imglab.report.arms import Arm
from imglab.report.overview import NOT_COMPARED
from imglab.studies.first_generations import NO_THRESHOLDS, still_improves, with_control

REASONS = 2
"""Reasons of the gate that the sentence names; the page's table has all."""

MOST_MIXTURES = 3
"""Different training sets of first generations that a sentence names; of more it only says so."""

REAL_ALONE = "real data alone"


def trained_on(arms: Sequence[Arm]) -> str:
    """Say what generation 0 of arms was trained on, e.g. `30% real, 70% web`."""
    mixtures = list(dict.fromkeys(_first_mixture(arm.rows[0]) for arm in arms))
    if len(mixtures) > MOST_MIXTURES:
        return f"{len(mixtures)} different mixtures"
    return " or ".join(mixtures)


def _first_mixture(row: Mapping[str, Any]) -> str:
    """Say what a generation that has none before it was trained on, by its row of metrics.

    Rows of older runs have no `origins`: before there were sets of the user's own, all was real.
    """
    counts = row.get("origins", {})
    if not set(counts) - {"real"}:
        return REAL_ALONE

    total = max(1, sum(counts.values()))
    labels = sorted(counts, key=lambda label: (label != "real", label))
    return ", ".join(f"{100 * counts[label] / total:.3g}% {label}" for label in labels)


def poor_starts(arms: Sequence[Arm]) -> list[str]:
    """Say of which arms generation 0 is a poor model, so that they show more than collapse.

    The cause is its training, or the synthetic data that it was trained on, where there were any.
    Arms of which it could not be judged, though their kind of data has thresholds, are named, too.
    """
    poor: dict[tuple[str, str], list[str]] = {}
    unknown: dict[str, list[str]] = {}
    for arm in arms:
        improvement = still_improves([each.rows for each in arms if is_control(each, of=arm)])
        gate = with_control(arm.rows[0].get("generation0"), improvement)
        if gate["verdict"] == "poor":
            group = (_first_reasons(gate["reasons"]), _first_mixture(arm.rows[0]))
            poor.setdefault(group, []).append(arm.name)
        elif gate["verdict"] == "unknown" and gate["reasons"] not in ([], [NO_THRESHOLDS]):
            unknown.setdefault(_first_reasons(gate["reasons"]), []).append(arm.name)

    sentences = []
    for reasons, names in unknown.items():
        sentences.append(f"Generation 0{_whose(names, arms)} was not judged ({reasons}).")
    for (reasons, mixture), names in poor.items():
        causes = "its training"
        if mixture != REAL_ALONE:
            causes = f"the data that it was trained on ({mixture}), or its training,"
        sentences.append(
            f"Generation 0{_whose(names, arms)} is a poor model ({reasons}): what follows shows "
            f"{causes} more than a collapse."
        )
    return sentences


def _whose(names: Sequence[str], arms: Sequence[Arm]) -> str:
    """Name arms, where there are others."""
    if len(arms) < 2:
        return ""
    return f" of {', '.join(names)}"


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
