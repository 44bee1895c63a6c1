"""What a map knows: the searches of each column, what they say, where to look next. No torch.

A column is a value of the second key (and of the third). Along it, each seed searches the boundary
by bisection, as `imglab mix` does over the real share. Positions on all axes lie in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import mean
from typing import Any

from imglab.studies.mapping.axes import Axis
from imglab.studies.mixing.search import Search, threshold

BOUNDARY = "boundary"
HOLDS = "holds"
COLLAPSES = "collapses"
BLOCKED = "blocked"
OPEN = "not decided"

ALIKE = 0.05
"""Added to how much a boundary differs between two columns: wide gaps are filled, too."""

Bracket = tuple[float, float]


@dataclass(frozen=True)
class Cell:
    """A chain that was judged: its position along the column, and its seed.

    holds    None where it cannot be decided
    blocked  why its generation 0 is no model that could collapse; "" where it is one
    """

    position: float
    seed: int
    holds: bool | None
    reason: str = ""
    blocked: str = ""

    @property
    def shown(self) -> bool | None:
        """What it shows of collapse: nothing (None) where generation 0 fails already."""
        if self.blocked and self.holds is False:
            return None
        return self.holds


@dataclass(frozen=True)
class ColumnAnswer:
    """What a column says, as positions along the first axis.

    verdict    `boundary`, `holds` or `collapses` (throughout), `blocked`, `not decided`
    estimate   mean over seeds of the middles of their brackets; None without a boundary
    low, high  95% interval over seeds, with the width of the brackets; None: beyond the range
    """

    verdict: str
    reason: str = ""
    estimate: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass
class Column:
    """A column while it is searched, with the cells that were judged."""

    seeds: Sequence[int]
    halvings: int
    cells: list[Cell] = field(default_factory=list)

    def wanted(self) -> list[tuple[float, int]]:
        """Return (position, seed) of each chain to run next; [] where the column is finished."""
        if self.blocked:
            return []
        positions = {seed: self._search(seed).next_share() for seed in self.seeds}
        return [(at, seed) for seed, at in positions.items() if at is not None]

    @property
    def blocked(self) -> str:
        """Why the end that should hold has no good generation 0 with most seeds; "" if it has."""
        reasons = [cell.blocked for cell in self.cells if cell.position == 1.0 and cell.blocked]
        if 2 * len(reasons) <= len(self.seeds):
            return ""
        return f"generation 0 is poor with {len(reasons)} of {len(self.seeds)} seeds: {reasons[0]}"

    def answer(self) -> ColumnAnswer:
        """Return what the column says when it is finished."""
        if self.blocked:
            return ColumnAnswer(BLOCKED, self.blocked)
        for cell in self.cells:
            if cell.holds is None:
                return ColumnAnswer(OPEN, f"seed {cell.seed}: {cell.reason}")

        brackets = [self._bracket(seed) for seed in self.seeds]
        if all(bracket == (0, 0) for bracket in brackets):
            return ColumnAnswer(HOLDS)
        if all(bracket == (1, 1) for bracket in brackets):
            return ColumnAnswer(COLLAPSES, next(c.reason for c in self.cells if c.position == 1.0))
        return self._without_boundary(brackets) or _boundary(brackets)

    def _without_boundary(self, brackets: Sequence[Bracket]) -> ColumnAnswer | None:
        """Return why there is no boundary where chains below it fail from generation 0 on.

        What holds and what does not then differ by their first models, and not by what recursion
        does to them.
        """
        ends = dict(zip(self.seeds, (low for low, _ in brackets), strict=True))
        failing = [cell for cell in self.cells if ends[cell.seed] == cell.position]
        reasons = [cell.blocked for cell in failing if cell.blocked and cell.holds is False]
        if not reasons:
            return None

        count = f"{len(reasons)} of {len(self.seeds)} seeds"
        reason = f"generation 0 already fails next to the boundary with {count}: {reasons[0]}"
        if 2 * len(reasons) > len(self.seeds):
            return ColumnAnswer(BLOCKED, reason)
        return ColumnAnswer(OPEN, reason)

    def _bracket(self, seed: int) -> Bracket:
        """Return the ends between which a seed's boundary lies; (0, 0) or (1, 1) beyond them."""
        search = self._search(seed)
        if search.held.get(1.0) is False:
            return 1.0, 1.0
        bracket = search.bracket()
        assert bracket is not None
        return bracket

    def _search(self, seed: int) -> Search:
        held = {cell.position: cell.holds for cell in self.cells if cell.seed == seed}
        return Search(self.halvings, held)


def _boundary(brackets: Sequence[Bracket]) -> ColumnAnswer:
    """Return the boundary over seeds; an end is open where a seed's lies beyond the range."""
    interval = threshold(brackets)
    assert interval is not None
    low: float | None = interval.low
    high: float | None = interval.high
    if (0, 0) in brackets:
        low = None
    if (1, 1) in brackets:
        high = None
    if low is None and high is None:
        reason = "with some seeds it holds throughout, with others nowhere"
        return ColumnAnswer(OPEN, reason)
    if (low or 0.0) == 0 and (high is None or high == 1):
        return ColumnAnswer(OPEN, "the 95% interval is the whole range: more seeds narrow it")
    return ColumnAnswer(BOUNDARY, "", mean((a + b) / 2 for a, b in brackets), low, high)


def next_column(
    answers: Mapping[float, ColumnAnswer], number: Callable[[float], float]
) -> float | None:
    """Return the position of the next column: in the gap across which the boundary moves most.

    None where every gap is too narrow for another value.

    answers  position -> answer, of finished columns
    number   the value of the second key at a position
    """
    positions = sorted(answers)
    gaps = []
    for left, right in pairwise(positions):
        middle = (left + right) / 2
        if number(middle) not in (number(left), number(right)):
            moves = abs(_height(answers[left]) - _height(answers[right]))
            gaps.append(((moves + ALIKE) * (right - left), -middle))
    if not gaps:
        return None
    return -max(gaps)[1]


def _height(answer: ColumnAnswer) -> float:
    """Return where a column's boundary lies, beyond the range where it has none."""
    if answer.estimate is not None:
        return answer.estimate
    if answer.verdict == HOLDS:
        return 0.0
    return 1.0


def in_numbers(answer: ColumnAnswer, axis: Axis) -> dict[str, Any]:
    """Return an answer as JSON, with numbers of the first key in place of positions.

    `low` and `high` are those of the positions: the key itself may fall from one to the other.
    """
    numbers: dict[str, Any] = {"verdict": answer.verdict, "reason": answer.reason}
    for name in ("estimate", "low", "high"):
        position = getattr(answer, name)
        numbers[name] = None if position is None else between(axis, position)
    return numbers


def between(axis: Axis, position: float) -> float:
    """Return the number at a position, without rounding to the values that a chain can have."""
    if axis.is_log:
        return float(axis.low * (axis.high / axis.low) ** position)
    return float(axis.low + position * (axis.high - axis.low))


def first_crossing(
    holds: Callable[[float], bool | None], steps: int
) -> tuple[str, float | None] | None:
    """Return the verdict of a search with one exact answer, and the position of the boundary.

    None where `holds` cannot decide an end; `steps` halvings.
    """
    held: dict[float, bool | None] = {}
    while (position := Search(steps, held).next_share()) is not None:
        held[position] = holds(position)
    if None in held.values():
        return None

    if held[1.0] is False:
        return COLLAPSES, None
    bracket = Search(steps, held).bracket()
    if bracket is None or bracket == (0, 0):
        return HOLDS, None
    return BOUNDARY, mean(bracket)
