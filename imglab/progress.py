"""How work reports its progress."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
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
