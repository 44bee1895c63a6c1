"""One sentence made from the numbers: what was lost, against what, and what kept it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from imglab.report.arms import Arm, comparable
from imglab.report.table import metric_label

LOSS = ("recall", "coverage", "variance", "categories_alive", "classes_alive", "heterozygosity")
"""What collapse takes away, the most telling first; more is better."""
DAMAGE = ("perplexity", "fid", "w2")
"""What it adds; less is better."""
SURE = 2.0
"""Standard errors of a difference below which nothing is said to have changed."""

KEPT = 0.5
"""Share of the worst arm's change up to which another one is said to have kept what it had."""


@dataclass(frozen=True)
class _Change:
    """A metric of an arm from its first generation to its last."""

    arm: Arm
    first: float
    last: float
    error: float
    last_error: float
    moved: bool

    @property
    def sure(self) -> bool:
        return abs(self.last - self.first) > SURE * self.error

    @property
    def verb(self) -> str:
        if not self.sure:
            return "stayed at"
        return "fell from" if self.last < self.first else "rose from"

    def told(self) -> str:
        """Say it: `fell from 0.88 to 0.61`."""
        if not self.moved:
            return f"is {short(self.last)}"
        if not self.sure:
            return f"{self.verb} {short(self.last)}"
        return f"{self.verb} {short(self.first)} to {short(self.last)}"


def verdict(arms: Sequence[Arm]) -> list[str]:
    """Return a sentence for each group of arms whose numbers can be compared."""
    groups = comparable(arms)
    told = [_sentence(group) for group in groups]
    if len(groups) == 1:
        return told
    return [
        f"{_kinds(group)}: {one[0].lower()}{one[1:]}"
        for group, one in zip(groups, told, strict=True)
    ]


def short(value: float) -> str:
    """Write a number as a sentence has it: shares with two digits after the point, others with three in all."""
    if value == 0 or 0.1 <= abs(value) < 1:
        return f"{value:.2f}"
    if abs(value) < 0.1:
        return f"{value:.2g}"
    return f"{value:,.0f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"


def _kinds(arms: Sequence[Arm]) -> str:
    """Name a group: its arm, or what kind of data its arms are."""
    return (
        arms[0].name
        if len(arms) == 1
        else ", ".join(dict.fromkeys(arm.kind for arm in arms)).capitalize()
    )


def _sentence(arms: Sequence[Arm]) -> str:
    last = min(len(arm.rows) for arm in arms) - 1  # arms are compared where all of them have come
    parts = []
    for names, worse in ((LOSS, min), (DAMAGE, max)):
        changes: list[_Change] = []
        name = next((name for name in names if (changes := _changes(arms, name, last))), None)
        if name is None:
            continue
        worst = worse(changes, key=lambda change: change.last)
        best = (max if worse is min else min)(changes, key=lambda change: change.last)
        floor = arms[0].rows[0]["floor"].get(name)
        between = f" (real against real: {short(floor['mean'])})" if floor else ""
        label = metric_label(name, arms[0].rows[0])
        who = f"{label} of {worst.arm.name}" if len(arms) > 1 else label
        parts.append(
            f"{who} {worst.told()}{between}{_beside(worst, best, 'kept' if worse is min else 'had')}"
        )
    if not parts:
        return f"Nothing defined was measured in {count(last + 1)}."
    whole = "; ".join(parts)
    until = f" in {count(last)}" if last else " in generation 0, trained on real data alone"
    return f"{whole[0].upper()}{whole[1:]}{until}."


def count(generations: int) -> str:
    """Write a number of generations."""
    return f"{generations} generation{'s' * (generations != 1)}"


def _beside(worst: _Change, best: _Change, verb: str) -> str:
    """Say how the best arm fared, where it is truly better than the worst."""
    if best.arm is worst.arm or abs(best.last - worst.last) <= SURE * math.hypot(
        best.last_error, worst.last_error
    ):
        return ""
    if abs(best.last - best.first) <= KEPT * abs(worst.last - worst.first) or not best.sure:
        return f", while {best.arm.name} {verb} {short(best.last)}"
    return f", while that of {best.arm.name} {best.told()}"


def _is_known(arm: Arm, metric: str, g: int) -> bool:
    """Say whether more than one seed of a sweep has a value there: one alone says nothing of the others."""
    return not arm.bands or arm.seeds < 2 or arm.bands[metric]["low"][g] is not None


def _changes(arms: Sequence[Arm], metric: str, last: int) -> list[_Change]:
    found = []
    for arm in arms:
        series = [
            point
            for point in arm.series(metric)
            if point[0] <= last and _is_known(arm, metric, point[0])
        ]
        if series:
            (_, first, low, _), (_, end, lower, _) = series[0], series[-1]
            # A 95% band reaches about two standard errors from the mean, an error bar one.
            errors = [width / (2 if arm.bands else 1) for width in (first - low, end - lower)]
            found.append(
                _Change(arm, first, end, math.hypot(*errors), errors[1], moved=len(series) > 1)
            )
    return found if any(change.first or change.last for change in found) else []
