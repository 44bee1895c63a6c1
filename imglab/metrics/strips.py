"""Strips of rows that several processes share out, and what is added up over them.

A strip is the rows of one row of tiles. Within `shared`, each process takes some of the strips and
sends what it adds up to all others, and everybody joins it in the order of the strips. So the
numbers are those of one process, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from imglab import distributed
from imglab.metrics.undefined import Undefined

T = TypeVar("T")

_is_shared = False
"""Whether strips and jobs are shared out at the moment."""


class Part(Protocol):
    """The part of a matrix that has these rows and columns; the rows are those of one strip."""

    @property
    def rows(self) -> slice:  # noqa: D102
        ...

    @property
    def columns(self) -> slice:  # noqa: D102
        ...


@contextmanager
def shared() -> Iterator[None]:
    """Share strips and jobs out to all processes, which all go through the block in step."""
    global _is_shared
    before = _is_shared
    _is_shared = True
    try:
        yield
    finally:
        _is_shared = before


@contextmanager
def _alone() -> Iterator[None]:
    """Share nothing out within the block: the other processes do something else."""
    global _is_shared
    before = _is_shared
    _is_shared = False
    try:
        yield
    finally:
        _is_shared = before


def processes() -> int:
    """Return how many processes the strips are shared out to."""
    if not _is_shared:
        return 1
    return distributed.world_size()


def is_taken(number: int) -> bool:
    """Say whether this process takes the strip, or the job, of that number."""
    return number % processes() == distributed.rank() % processes()


class RowValues:
    """A value for each row; those of a strip come from the process that takes it."""

    def __init__(self, values: Tensor) -> None:
        """Begin with values [M, ...]."""
        self.values = values
        self._strips: dict[int, slice] = {}

    def of(self, part: Part) -> Tensor:
        """Return the values of the part's rows, to be changed in place."""
        self._strips[part.rows.start] = part.rows
        return self.values[part.rows]

    def gather(self) -> None:
        """Take the values of the other processes' strips."""
        strips = [(rows, self.values[rows].clone()) for rows in self._strips.values()]
        for of_process in distributed.all_gather(strips):
            for rows, values in of_process:
                self.values[rows] = values


class ColumnValues:
    """A value for each column, joined over the strips in their order."""

    def __init__(self, empty: Tensor, join: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Begin with values [N] to which joining others changes nothing."""
        self.values = empty
        self._join = join
        self._empty = empty.clone()
        self._strips: dict[int, Tensor] = {}

    def add(self, part: Part, values: Tensor) -> None:
        """Join what a part says of its columns."""
        total = self.values
        if processes() > 1:
            total = self._strips.setdefault(part.rows.start, self._empty.clone())
        total[part.columns] = self._join(total[part.columns], values)

    def gather(self) -> None:
        """Join the strips of all processes."""
        strips: dict[int, Tensor] = {}
        for of_process in distributed.all_gather(self._strips):
            strips.update(of_process)
        for _, values in sorted(strips.items()):
            self.values = self._join(self.values, values)


class StripSums:
    """Sums of what parts say of the whole, float64 [K], joined over the strips in their order."""

    def __init__(self) -> None:
        self._strips: dict[int, Tensor] = {}

    @property
    def total(self) -> Tensor:
        """The sum over all strips."""
        return torch.stack([values for _, values in sorted(self._strips.items())]).sum(0)

    def add(self, part: Part, values: Tensor) -> None:
        """Add what a part says."""
        first = part.rows.start
        self._strips[first] = self._strips[first] + values if first in self._strips else values

    def gather(self) -> None:
        """Take the sums of the other processes' strips."""
        for of_process in distributed.all_gather(self._strips):
            self._strips.update(of_process)


def by_one_each(jobs: Sequence[Callable[[], T]]) -> list[Callable[[], T]]:
    """Let each job be done by one process; return functions that return, or raise, what it did.

    Several jobs are done at once. A single process does each when it is asked for.
    """
    if processes() == 1:
        return list(jobs)

    outcomes = {number: _outcome(job) for number, job in enumerate(jobs) if is_taken(number)}
    joined: dict[int, T | Undefined] = {}
    for of_process in distributed.all_gather(outcomes):
        joined.update(of_process)
    return [_returning(joined[number]) for number in range(len(jobs))]


def _outcome(job: Callable[[], T]) -> T | Undefined:
    """Return what a job returns, or why that is undefined."""
    try:
        with _alone():
            return job()
    except Undefined as reason:
        return Undefined(str(reason))


def _returning(outcome: T | Undefined) -> Callable[[], T]:
    def result() -> T:
        if isinstance(outcome, Undefined):
            raise outcome
        return outcome

    return result


def zeros(rows: int, dtype: torch.dtype = torch.float64) -> RowValues:
    """Return a zero for each row."""
    return RowValues(torch.zeros(rows, dtype=dtype))


def sums(columns: int) -> ColumnValues:
    """Return a sum for each column, float64."""
    return ColumnValues(torch.zeros(columns, dtype=torch.float64), torch.add)


def flags(columns: int) -> ColumnValues:
    """Return for each column whether any strip says so."""
    return ColumnValues(torch.zeros(columns, dtype=torch.bool), torch.logical_or)
