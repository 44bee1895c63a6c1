"""What can be wrong with an input, said once and in one form."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input: where (a file, a dotted key), what, and what to do about it."""

    where: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f" ({self.remedy})" if self.remedy else "")


class InputError(Exception):
    """The input is wrong: exit code 2. Holds every problem found, not only the first."""

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems = [problems] if isinstance(problems, Problem) else list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ProblemCollector:
    """Goes on after a problem, so that all of them can be told at once."""

    def __init__(self, where: str = "") -> None:
        """Collect problems; `where`, if given, is put before the place of each."""
        self._where = f"{where}: " if where else ""
        self._problems: list[Problem] = []

    def add(self, problem: Problem) -> None:
        """Add a problem that was found otherwise."""
        self._problems.append(problem)

    def run(self, attempt: Callable[[], T]) -> T | None:
        """Return what `attempt` returns; None, and its problems kept, where it raises InputError."""
        try:
            return attempt()
        except InputError as error:
            self._problems += error.problems
            return None

    def finish(self) -> None:
        """Raise InputError with all problems, if there are any."""
        if self._problems:
            raise InputError(
                Problem(f"{self._where}{found.where}", found.what, found.remedy)
                for found in self._problems
            )


class Stopped(Exception):
    """The run stopped before its end and the same command resumes it: exit code 3."""


DIVERGED = (
    "what was finished is kept. Lower the learning rate, or use fp32: in a run with another --out, or in a fork from a "
    "finished generation (imglab fork)"
)


def nearest(word: str, choices: Iterable[str]) -> str:
    """Name the choice nearest to `word`, or list them when none is near."""
    options = sorted(choices)
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"one of: {', '.join(options)}"


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its kind where it says nothing."""
    return (str(error) or type(error).__name__).splitlines()[0]
