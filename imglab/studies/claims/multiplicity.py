"""Holm's correction for the claims of a family, and its effect on their verdicts. No torch.

A claim's p-value is the chance of a verdict like its own by accident: that all its intervals lie
inside (the largest of its statements' values, an intersection-union test), or that one of them lies
outside (the smallest times their number). It must be at most half of 1 - confidence, since each
interval has two ends. Laws are not corrected: |z| of 4 allows for hundreds of comparisons.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from imglab.studies.claims.finding import Finding
from imglab.studies.sweeps.statistics import LEVEL, holm


def chance_of(findings: Sequence[Finding], verdict: str) -> float | None:
    """Return the uncorrected p-value of a verdict; None: it has none."""
    if verdict == "holds":
        inside = [finding.p_holds for finding in findings if finding.p_holds is not None]
        if len(inside) == len(findings):
            return max(inside)

    if verdict == "does not hold":
        outside = [finding.p_outside for finding in findings if finding.p_outside is not None]
        if outside:
            return min(1.0, len(findings) * min(outside))
    return None


def corrected(
    verdicts: Sequence[Mapping[str, Any]], family_sizes: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Return verdicts of claims, as JSON, with p corrected within each family.

    A claim whose corrected p is too large is not decided. Claims of the family that have no p yet
    count among the questions, so that their answers make no other claim harder to show.

    family_sizes  how many claims of each family intervals decide
    """
    values: dict[str, list[float | None]] = defaultdict(list)
    for each in verdicts:
        if each["p"] is not None:
            values[each["family"]].append(each["p"])

    adjusted = {}
    for family, of_family in values.items():
        unanswered = max(0, family_sizes.get(family, 0) - len(of_family))
        adjusted[family] = holm([*of_family, *[None] * unanswered])

    places = dict.fromkeys(values, 0)
    results = []
    for each in verdicts:
        result = dict(each)
        if each["p"] is not None:
            family = each["family"]
            result["p_holm"] = adjusted[family][places[family]]
            places[family] += 1
            _decide(result, len(adjusted[family]))
        results.append(result)
    return results


def _decide(result: dict[str, Any], questions: int) -> None:
    """Withhold the verdict of a claim whose corrected p is too large."""
    most = (1 - LEVEL) / 2
    if result["p_holm"] <= most:
        return
    result["verdict"] = "not decided"
    why = f"Holm's correction for {questions} claims of the family: p = {result['p_holm']:.2g}"
    result["why"] = "; ".join(filter(None, [result["why"], f"{why}, at most {most:g} decides"]))
