"""Work on a CPU that is shared out over threads of Python, each of which computes by itself.

torch shares out every single operation, and its threads meet at the end of each one: thousands of
times in a step of a small network, so that two of them are hardly faster than one. Here a thread
takes whole steps of some rows of a batch, and they meet once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

FEWEST_ROWS = 4
"""Rows that a thread has at least: fewer are slow, row by row."""


class Threads:
    """The threads that may compute on the CPU (`torch.get_num_threads`), when it is made.

    On another device there is one, and there are no more than `most`.
    """

    def __init__(self, device: torch.device, *, most: int | None = None) -> None:
        self._total = 1
        if device.type == "cpu":
            self._total = min(torch.get_num_threads(), most or torch.get_num_threads())
        self._pool: ThreadPoolExecutor | None = None

    def __len__(self) -> int:
        return self._total

    def shares(self, rows: range, most: int | None = None) -> list[range]:
        """Return the rows of each thread, of equal lengths as far as possible.

        most  rows that one may have; with more of them there are more shares than threads
        """
        parts = min(self._total, max(1, len(rows) // FEWEST_ROWS))
        if most is not None:
            parts = max(parts, -(-len(rows) // most))
        return split(rows, parts)

    def rounds(self, numbers: range) -> Iterator[range]:
        """Yield successive parts of a range, with a number for each thread."""
        for start in range(0, len(numbers), self._total):
            yield numbers[start : start + self._total]

    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Return the results of the items, in their order.

        At work each has an equal share of the threads of torch, and none of what is local to a
        thread: no autocast, no inference mode. Raises what the first one raised, once all ended.
        """
        if len(items) < 2 or self._total < 2:
            return [work(item) for item in items]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._total, "rows")

        each = max(1, self._total // len(items))

        def alone(item: Item) -> Result:
            torch.set_num_threads(each)
            return work(item)

        try:
            futures = [self._pool.submit(alone, item) for item in items]
            wait(futures)
        finally:
            # A new thread begins with what was set last.
            torch.set_num_threads(self._total)
        return [future.result() for future in futures]


def split(rows: range, parts: int) -> list[range]:
    """Return successive parts of a range, of equal lengths as far as possible.

    >>> split(range(3, 10), 2)
    [range(3, 6), range(6, 10)]
    """
    return [
        rows[len(rows) * part // parts : len(rows) * (part + 1) // parts] for part in range(parts)
    ]
