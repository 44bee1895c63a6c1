"""The contract of a store, and the store in memory."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from torch import Tensor

from imglab.measures import Features, Measures, NearestReal
from imglab.model import GenerativeModel
from imglab.samples import Samples

Made: TypeAlias = "GenerativeModel | Samples | Tensor | Features | NearestReal | Measures"
"""What a stage makes; a tensor: which samples were accepted."""


class Store(ABC):
    """Keeps what each stage of each generation made."""

    shows: ClassVar[bool] = False
    """Whether it keeps what only a person looks at: pictures, and what stands beside the shown samples."""

    @abstractmethod
    def finished(self, g: int) -> bool:
        """Say whether generation g is complete."""

    @abstractmethod
    def has(self, g: int, stage: str) -> bool:
        """Say whether this stage of generation g is complete."""

    @abstractmethod
    def put(self, g: int, stage: str, value: Made) -> None:
        """Keep what a stage made."""

    @abstractmethod
    def model(self, g: int) -> GenerativeModel:
        """Return the fitted model of generation g."""

    @abstractmethod
    def samples(self, g: int, stage: str = "samples") -> Samples:
        """Return what generation g drew, stamped with g; memory-mapped where it lies in a file."""

    @abstractmethod
    def accepted(self, g: int) -> Tensor | None:
        """Return which of generation g's samples went on to the pool, int64 [M]; None where all did."""

    @abstractmethod
    def features(self, g: int) -> Tensor:
        """Return the features of generation g's samples, float32 [N, D]."""

    @abstractmethod
    def metrics(self, g: int) -> dict[str, Any]:
        """Return the metrics of generation g."""

    def size(self, g: int) -> int:
        """Return how many samples generation g left in the pool."""
        accepted = self.accepted(g)
        return len(self.samples(g)) if accepted is None else len(accepted)

    def desk(self, g: int) -> Path | None:
        """Return the folder where a person is asked about generation g, where there is one."""
        return None

    def keep_checkpoint(self, g: int, state: Mapping[str, Tensor]) -> None:  # noqa: B027
        """Keep the state of an unfinished fit, in place of the last one."""

    def checkpoint(self, g: int) -> dict[str, Tensor] | None:
        """Return the state of an unfinished fit of generation g, if one is kept."""
        return None

    def picture(self, g: int, name: str, write: Callable[[Path], None]) -> None:  # noqa: B027
        """Let `write` make the picture of generation g, where pictures are kept."""

    def finish(self, g: int) -> None:  # noqa: B027
        """Declare generation g complete."""

    def log(self, **event: Any) -> None:  # noqa: B027
        """Record an event with its time."""

    @contextmanager
    def timed(self, **event: Any) -> Iterator[None]:
        """Record an event with the seconds that it took, once it is done."""
        began = time.perf_counter()
        yield
        self.log(**event, seconds=round(time.perf_counter() - began, 4))


class MemoryStore(Store):
    """Keeps everything in memory and draws no pictures."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, str], Any] = {}

    def finished(self, g: int) -> bool:  # noqa: D102
        return self.has(g, "metrics")

    def has(self, g: int, stage: str) -> bool:  # noqa: D102
        return (g, stage) in self._kept

    def put(self, g: int, stage: str, value: Made) -> None:  # noqa: D102
        self._kept[g, stage] = value.stamped(g) if isinstance(value, Samples) else value

    def model(self, g: int) -> GenerativeModel:  # noqa: D102
        fitted: GenerativeModel = self._kept[g, "model"]
        return fitted

    def samples(self, g: int, stage: str = "samples") -> Samples:  # noqa: D102
        drawn: Samples = self._kept[g, stage]
        return drawn

    def accepted(self, g: int) -> Tensor | None:  # noqa: D102
        return self._kept.get((g, "accepted"))

    def features(self, g: int) -> Tensor:  # noqa: D102
        kept: Features = self._kept[g, "features"]
        return kept.values

    def metrics(self, g: int) -> dict[str, Any]:  # noqa: D102
        return dict(self._kept[g, "metrics"].values)
