"""One sentence made from the numbers: what was lost, against what, and which arm kept it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import comb

from imglab.report.apart import Point, are_apart
from imglab.report.arms import Arm, comparable
from imglab.report.aspects import LOSS, Aspect, aspects_of
from imglab.report.first_generation import poor_starts, trained_on
from imglab.report.kind_of_loss import kind_of_loss
from imglab.report.table import metric_label

KEPT = 0.5
"""Share of the worst arm's change up to which the best arm counts as unchanged."""


@dataclass(frozen=True)
class _Change:
    """A metric of an arm from its first generation to its last.

    start, end  its values there, with their standard errors
    moved       whether there is more than one generation
    chosen_of   the number of arms from which this one was chosen by what its metric came to
    """

    arm: Arm
    start: Point
    end: Point
    moved: bool
    chosen_of: int = 1

    @property
    def first(self) -> float:
        return self.start.value

    @property
    def last(self) -> float:
        return self.end.value

    @property
    def size(self) -> float:
        return abs(self.last - self.first)

    @property
    def sure(self) -> bool:
        return are_apart(self.start, self.end, self.chosen_of)

    def described(self) -> str:
        """Say it in words, e.g. `fell from 0.88 to 0.61`."""
        if not self.moved:
            return f"is {short(self.last)}"
        if not self.sure and short(self.first) == short(self.last):
            return f"stayed at {short(self.last)}"
        if not self.sure:
            values = f"{short(self.first)} and {short(self.last)}"
            return f"is not decided ({values}, a difference within its error)"

        verb = "rose"
        if self.last < self.first:
            verb = "fell"
        return f"{verb} from {short(self.first)} to {short(self.last)}"


def verdict(arms: Sequence[Arm]) -> list[str]:
    """Return a sentence for each group of arms whose numbers can be compared."""
    groups = comparable(arms)
    sentences = [_sentence(group) for group in groups]
    if len(groups) == 1:
        return sentences
    return [
        f"{_group_name(group)}: {sentence[0].lower()}{sentence[1:]}"
        for group, sentence in zip(groups, sentences, strict=True)
    ]


def short(value: float) -> str:
    """Write a number as a sentence has it: shares with two decimals, others with three digits."""
    size = abs(value)
    if size == 0 or 0.1 <= size < 1:
        return f"{value:.2f}"
    if size < 0.1:
        return f"{value:.2g}"
    if 100 <= size < 1e6:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def count(generations: int) -> str:
    """Write a number of generations."""
    if generations == 1:
        return "1 generation"
    return f"{generations} generations"


def _group_name(arms: Sequence[Arm]) -> str:
    """Name a group by its only arm, or by the kinds of data of its arms."""
    if len(arms) == 1:
        return arms[0].name
    kinds = dict.fromkeys(arm.kind for arm in arms)
    return ", ".join(kinds).capitalize()


def _sentence(arms: Sequence[Arm]) -> str:
    # Arms are compared in the last generation that all of them have finished.
    last = min(len(arm.rows) for arm in arms) - 1
    clauses = [_clause(arms, aspect, last) for aspect in aspects_of(arms[0].kind)]
    defined = "; ".join(clause for clause in clauses if clause)
    if not defined:
        return f"Nothing defined was measured in {count(last + 1)}."

    span = f"in generation 0, trained on {trained_on(arms)}"
    if last > 0:
        span = f"in {count(last)}"
    numbers = f"{defined[0].upper()}{defined[1:]} {span}."
    return " ".join([*poor_starts(arms), numbers, *_notes(arms, last)])


def _notes(arms: Sequence[Arm], last: int) -> list[str]:
    """Say which kind of loss the worst arm shows, and where two metrics contradict each other."""
    if last == 0:
        return []

    # The worst arm is the one whose Fréchet distance ends highest.
    measured = _chosen([change for arm in arms for change in _changes([arm], "fid", last)])
    if not measured:
        return []
    worst = max(measured, key=lambda change: change.last)

    notes = []
    loss = kind_of_loss(worst.arm.rows[: last + 1])
    if loss is not None and worst.sure:
        whose = ""
        if len(arms) > 1:
            whose = f"In {worst.arm.name}, "
        notes.append(f"{whose}{loss.described()}")
    return [*notes, *_contradictions(arms, last)]


def _chosen(changes: Sequence[_Change]) -> list[_Change]:
    """Return changes of which one is to be chosen by what it came to."""
    return [replace(change, chosen_of=len(changes)) for change in changes]


def _contradictions(arms: Sequence[Arm], last: int) -> list[str]:
    """Say of each arm if what it lost and what it gained damage of point in opposite ways."""
    sentences = []
    for arm in arms:
        # Facts are counted, and no feature sees them: they contradict nothing.
        damages = [each for each in aspects_of(arm.kind) if not each.more_is_better]
        loss = _first_change(arm, LOSS, last)
        damage = _first_change(arm, damages[0], last)
        if loss is None or damage is None or not (loss[1].sure and damage[1].sure):
            continue

        is_lost = loss[1].last < loss[1].first
        is_damaged = damage[1].last > damage[1].first
        if is_lost != is_damaged:
            names = [metric_label(name, arm.rows[0]) for name, _ in (loss, damage)]
            both = f"{names[0][:1].upper()}{names[0][1:]} and {names[1]} of {arm.name}"
            sentences.append(
                f"{both} contradict each other: one says that the samples became better, the "
                "other that they became worse."
            )
    return sentences


def _first_change(arm: Arm, aspect: Aspect, last: int) -> tuple[str, _Change] | None:
    """Return the most telling metric of an aspect that an arm has, and its change."""
    for metric in aspect.metrics:
        changes = _changes([arm], metric, last)
        if changes:
            return metric, changes[0]
    return None


def _clause(arms: Sequence[Arm], aspect: Aspect, last: int) -> str:
    """Say how the arm that fared worst changed, and how the best one did; empty: undefined."""
    measured = ((metric, _changes(arms, metric, last)) for metric in aspect.metrics)
    metric, changes = next((pair for pair in measured if pair[1]), ("", []))
    if not changes:
        return ""

    worst, best = _worst_and_best(_chosen(changes), aspect)
    first = arms[0].rows[0]
    subject = metric_label(metric, first)
    if len(arms) > 1:
        subject += f" of {worst.arm.name}"

    floor = first["floor"].get(metric)
    against = ""
    if floor:
        against = f" (real against real: {short(floor['mean'])})"
    return f"{subject} {worst.described()}{against}{_contrast(worst, best, aspect.verb)}"


def _worst_and_best(changes: Sequence[_Change], aspect: Aspect) -> tuple[_Change, _Change]:
    """Return the arms' changes that ended worst and best; of equal ones the first."""
    lowest = min(changes, key=lambda change: change.last)
    highest = max(changes, key=lambda change: change.last)
    if aspect.more_is_better:
        return lowest, highest
    return highest, lowest


def _contrast(worst: _Change, best: _Change, verb: str) -> str:
    """Say how the best arm fared, if it is better than the worst by more than their errors.

    The best and the worst of several arms that are alike lie far apart: all pairs count.
    """
    pairs = comb(best.chosen_of, 2)
    if best.arm is worst.arm or not are_apart(best.end, worst.end, pairs):
        return ""

    if best.size <= KEPT * worst.size or not best.sure:
        return f", while {best.arm.name} {verb} {short(best.last)}"
    return f", while that of {best.arm.name} {best.described()}"


def _changes(arms: Sequence[Arm], metric: str, last: int) -> list[_Change]:
    """Return the change of a metric up to generation `last` in each arm that has it.

    A metric that is 0 throughout says nothing: then there are none. Nor are there any where some
    of the arms have it, but not from generation 0 to the last.
    """
    changes = []
    for arm in arms:
        series = [
            point
            for point in arm.series(metric)
            if point[0] <= last and _is_known(arm, metric, point[0])
        ]
        is_cut = not arm.bands and bool(series) and series[-1][0] != last
        if series and (series[0][0] != 0 or is_cut):
            return []
        if series:
            changes.append(_change(arm, series))

    if any(change.first or change.last for change in changes):
        return changes
    return []


def _change(arm: Arm, series: Sequence[tuple[int, float, float, float]]) -> _Change:
    start, end = (_point(arm, *series[at][1:]) for at in (0, -1))
    return _Change(arm, start, end, moved=len(series) > 1)


def _point(arm: Arm, value: float, low: float, high: float) -> Point:
    """Return a point of an arm's curve: a 95% band reaches about two errors, a bar one."""
    if not arm.bands:
        return Point(value, value - low, high - value)
    return Point(value, (value - low) / 2, (high - value) / 2, max(1, arm.seeds - 1))


def _is_known(arm: Arm, metric: str, g: int) -> bool:
    """Say whether an arm's value can be compared: a sweep's needs more than one seed there.

    One seed alone says nothing of the others, and has no band.
    """
    if not arm.bands or arm.seeds < 2:
        return True
    return arm.bands[metric]["low"][g] is not None
