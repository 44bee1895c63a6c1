"""What can be wrong with an input, and how it is said: every problem in one form, all at once."""

from __future__ import annotations

import difflib
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input: where (a file, a dotted key), what, and how to mend it."""

    where: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}"
        if self.remedy:
            text += f" ({self.remedy})"
        return text


class InputError(Exception):
    """The input is wrong: exit code 2. It holds every problem, not only the first one.

    sources  the errors whose problems it repeats, so that their causes are not lost
    """

    def __init__(
        self, problems: Problem | Iterable[Problem], sources: Iterable[InputError] = ()
    ) -> None:
        self.problems = [problems] if isinstance(problems, Problem) else list(problems)
        self.sources = list(sources)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ProblemCollector:
    """Runs steps that may fail and keeps their problems, so that all can be reported at once."""

    def __init__(self, where: str = "") -> None:
        """Collect problems; `where`, unless empty, is put before the place of each."""
        self._where = f"{where}: " if where else ""
        self._problems: list[Problem] = []
        self._sources: list[InputError] = []

    def add(self, problem: Problem) -> None:
        """Add a problem that did not come from a step."""
        self._problems.append(problem)

    def add_error(self, error: InputError) -> None:
        """Add the problems of an error."""
        self._problems += error.problems
        self._sources.append(error)

    def __len__(self) -> int:
        return len(self._problems)

    def run(self, step: Callable[[], T]) -> T | None:
        """Return the result of a step; if it raises InputError, keep its problems, return None."""
        try:
            return step()
        except InputError as error:
            self.add_error(error)
            return None

    def finish(self) -> None:
        """Raise InputError with all problems, if there are any."""
        if not self._problems:
            return

        problems = [
            Problem(f"{self._where}{problem.where}", problem.what, problem.remedy)
            for problem in self._problems
        ]
        raise InputError(problems, self._sources)


class Stopped(Exception):
    """The run stopped before its end and the same command resumes it: exit code 3."""


DIVERGED = (
    "finished generations are kept. Lower the learning rate or use fp32, either in a run with "
    "another --out or in a fork from a finished generation (imglab fork)"
)


def nearest(word: str, choices: Iterable[str]) -> str:
    """Name the choice nearest to `word`; list all if none is near; say nothing if there is none."""
    return _nearest(word, tuple(sorted(choices)))


# One mistake may stand in each of hundreds of arms.
@lru_cache(maxsize=256)
def _nearest(word: str, options: Sequence[str]) -> str:
    if not options:
        return ""

    close = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"one of: {', '.join(options)}"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class if it has none."""
    message = str(error) or type(error).__name__
    return message.splitlines()[0]


def silence_libraries() -> None:
    """Keep the warnings of libraries out of the terminal, and leave the lab's own.

    They are meant for those who call the library. All are shown if Python is asked for them, by -W
    or PYTHONWARNINGS.
    """
    if not sys.warnoptions:
        warnings.filterwarnings("ignore")
        warnings.filterwarnings("default", module=r"imglab\b")
