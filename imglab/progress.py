"""How work reports its progress."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """How far a stage has come, in samples.

    stage  its name
    seen   samples that it has worked on
    total  samples that it works on altogether
    loss   the current training loss, in a fit
    state  returns the tensors of a checkpoint in the middle of the stage, if it offers one; a fit
           that gets them back as `resume` continues from there and ends with the same bytes
    """

    stage: str
    seen: int
    total: int
    loss: float | None = None
    state: Callable[[], dict[str, Tensor]] | None = None


Stage: TypeAlias = Generator[Progress, None, T]
"""Work that yields its progress and returns its result at the end."""


def without_state(work: Stage[T], stage: str | None = None) -> Stage[T]:
    """Pass progress on without the checkpoints that it offers: the work is done again as a whole.

    stage  the name of the stage in which the work stands; None: as it calls itself
    """
    while True:
        try:
            progress = next(work)
        except StopIteration as end:
            result: T = end.value
            return result
        yield replace(progress, stage=stage or progress.stage, state=None)
