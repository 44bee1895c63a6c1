"""Groups of real samples, such as of people, that are no classes: the ability to tell them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor


@dataclass(frozen=True)
class Groups:
    """The group of each sample of a set.

    names    of the groups
    numbers  of each sample's group among the names, int64 [N]
    """

    names: tuple[str, ...]
    numbers: Tensor


@runtime_checkable
class Grouped(Protocol):
    """The ability to say which group each real sample is of.

    The recall of each group is then measured. No model learns the groups.
    """

    def groups(self, split: Literal["train", "test"]) -> Groups:
        """Return the groups of the real samples of a split, in their order."""
        ...
