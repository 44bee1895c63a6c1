"""The same problem of many files is one message, with a count and a few examples."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imglab.errors import Problem
from imglab.reading.summary import EXAMPLES

NUMBER = re.compile(r"\d+")
MOST_KINDS = 8
"""Kinds of problems that are named."""


@dataclass(frozen=True)
class Failure:
    """A file that cannot be used, and why."""

    path: Path
    what: str


def as_problems(failures: Sequence[Failure], where: str, remedy: str) -> list[Problem]:
    """Return a problem for each file, or one for all files of which the same is said.

    where  what stands before problems of many files: the config's key
    """
    kinds: dict[str, list[Failure]] = {}
    for failure in failures:
        kinds.setdefault(NUMBER.sub("0", failure.what), []).append(failure)

    problems = []
    for alike in list(kinds.values())[:MOST_KINDS]:
        if len(alike) <= EXAMPLES:
            problems += [Problem(str(each.path), each.what, remedy) for each in alike]
            continue
        names = ", ".join(str(each.path) for each in alike[:EXAMPLES])
        what = f"{len(alike):,} files: each {alike[0].what}; the first are {names}"
        problems.append(Problem(where, what, remedy))

    more = sum(len(alike) for alike in list(kinds.values())[MOST_KINDS:])
    if more:
        problems.append(Problem(where, f"{more:,} more files cannot be used, for other reasons"))
    return problems
