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

    state, where a stage offers it, returns the tensors of a checkpoint in the middle of it; giving them back as
    `resume` continues from there and ends with the same bytes.
    """

    stage: str
    seen: int
    total: int
    loss: float | None = None
    state: Callable[[], dict[str, Tensor]] | None = None


Stage: TypeAlias = Generator[Progress, None, T]
"""Work that says how far it has come and returns its result at the end."""
