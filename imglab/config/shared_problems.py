"""A mistake that several arms of a sweep, or chains of a config, share is told once. No torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from imglab.errors import InputError, Problem

T = TypeVar("T")
MOST_LISTED = 5
"""How many names a problem lists; the others are counted."""


class SharedProblems:
    """Collects the problems of several parts, such as arms, and joins those that are the same.

    Examples: `config.yaml: arms.a, arms.b: model.steps: unknown key`, or, if no arm is without it,
    `config.yaml: all arms: model.steps: unknown key`.
    """

    def __init__(self, where: str, parts: str, number: int) -> None:
        """Collect problems of the `number` parts of `where`; `parts` is what they are ("arms")."""
        self._where = where
        self._parts = parts
        self._number = number
        self.sources: list[InputError] = []
        self._places: dict[Problem, dict[str, str]] = {}

    def __len__(self) -> int:
        """Return how many different problems there are."""
        return len(self._places)

    def run(self, name: str, place: str, attempt: Callable[[], T]) -> T | None:
        """Return what `attempt` returns. If it raises InputError, collect its problems: None.

        name   how a message names the part, such as "arms.a"
        place  what the part's problems begin with: config and name, or the part's directory
        """
        try:
            return attempt()
        except InputError as error:
            self.sources.append(error)
            for problem in error.problems:
                self._add(name, place, problem)
            return None

    def joined(self) -> list[Problem]:
        """Return each problem once, in the order in which they came."""
        return [
            Problem(self._place(places) + problem.where, problem.what, problem.remedy)
            for problem, places in self._places.items()
        ]

    def finish(self) -> None:
        """Raise InputError with all problems, if there are any."""
        if self._places:
            raise InputError(self.joined(), self.sources)

    def _add(self, name: str, place: str, problem: Problem) -> None:
        if not problem.where.startswith(place):
            place = ""  # the problem lies elsewhere, for example in a file that all parts read

        inside = problem.where.removeprefix(place)
        same = Problem(inside, problem.what, problem.remedy)
        self._places.setdefault(same, {})[name] = place

    def _place(self, places: dict[str, str]) -> str:
        """Return what stands before a problem of the parts at these places, by name."""
        different = set(places.values())
        if len(different) == 1:
            return different.pop()
        return f"{self._where}: {self._list(list(places))}"

    def _list(self, names: Sequence[str]) -> str:
        if len(names) == self._number:
            return f"all {self._parts}"

        text = ", ".join(names[:MOST_LISTED])
        if len(names) > MOST_LISTED:
            return f"{text} and {len(names) - MOST_LISTED} more {self._parts}"
        return text
