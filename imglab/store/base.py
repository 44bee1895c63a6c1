"""The contracts of a chain's generations, to read and to store, and the store in memory."""

from __future__ import annotations

import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from torch import Tensor

from imglab.measures import Continuation, Features, Measures, NearestReal, RealShown
from imglab.model import GenerativeModel
from imglab.progress import report
from imglab.samples import Samples

StageResult: TypeAlias = (
    "GenerativeModel | Samples | Tensor | Features | NearestReal | RealShown | Continuation"
    "| Measures"
)
"""What a stage returns. A tensor holds the indices of the accepted samples, int64 [M]."""


class StoredChain(ABC):
    """What can be read of a chain's generations."""

    @abstractmethod
    def finished(self, g: int) -> bool:
        """Say whether generation g is complete."""

    @abstractmethod
    def model(self, g: int) -> GenerativeModel:
        """Return the fitted model of generation g."""

    @abstractmethod
    def samples(self, g: int, stage: str = "samples") -> Samples:
        """Return what generation g drew, stamped with g; memory-mapped if it is in a file."""

    @abstractmethod
    def accepted(self, g: int) -> Tensor | None:
        """Return which of generation g's samples went on to the pool, int64 [M]; None: all did."""

    @abstractmethod
    def features(self, g: int) -> Tensor:
        """Return the features of generation g's samples, float32 [N, D]."""

    @abstractmethod
    def metrics(self, g: int) -> dict[str, Any]:
        """Return the metrics of generation g."""

    def continuation(self, g: int) -> Continuation | None:
        """Return how generation g continued the opening of the panel; None: it did not."""
        return None

    def size(self, g: int) -> int:
        """Return how many samples generation g left in the pool."""
        accepted = self.accepted(g)
        if accepted is None:
            return len(self.samples(g))
        return len(accepted)


class Store(StoredChain):
    """Stores the result of each stage of each generation."""

    shows: ClassVar[bool] = False
    """Whether it stores what only a person looks at: pictures, and the nearest real samples."""

    @abstractmethod
    def has(self, g: int, stage: str) -> bool:
        """Say whether this stage of generation g is complete."""

    @abstractmethod
    def put(self, g: int, stage: str, value: StageResult) -> None:
        """Store what a stage returned."""

    def annotations_folder(self, g: int) -> Path | None:
        """Return the folder in which a person is asked about generation g; None: there is none."""
        return None

    def desk(self, g: int) -> Path | None:
        """Return the folder of annotations; the name of `annotations_folder` in version 0.1."""
        text = f"{type(self).__name__}.desk is called annotations_folder now"
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        return self.annotations_folder(g)

    def keep_checkpoint(self, g: int, state: Mapping[str, Tensor]) -> None:
        """Store the state of an unfinished fit, in place of the last one."""

    def checkpoint(self, g: int) -> dict[str, Tensor] | None:
        """Return the state of an unfinished fit of generation g, if there is one."""
        return None

    def picture(self, g: int, name: str, write: Callable[[Path], None]) -> None:
        """Let `write` draw the picture of generation g, if the store has pictures."""

    def last_picture(self, name: str, write: Callable[[Path], None]) -> None:
        """Let `write` draw the one picture of a chain, that of its last generation.

        It belongs to no generation: those of a chain that goes on are the same as of a longer one.
        """

    def finish(self, g: int) -> None:
        """Declare generation g complete."""

    def log(self, **event: Any) -> None:
        """Record an event with its time."""

    @contextmanager
    def timed(self, **event: Any) -> Iterator[None]:
        """Record an event with the seconds that it took, once it is done.

        cpu_seconds  what all threads of this process computed meanwhile
        """
        began = time.perf_counter()
        computed = time.process_time()
        report(str(event.get("stage", "")))
        yield
        seconds = round(time.perf_counter() - began, 4)
        self.log(**event, seconds=seconds, cpu_seconds=round(time.process_time() - computed, 4))


class MemoryStore(Store):
    """Stores everything in memory and draws no pictures.

    >>> from imglab import regimes, run_chain
    >>> from imglab.solvable.gaussian.modality import GaussianModality
    >>> from imglab.solvable.gaussian.model import GaussianModel
    >>> from imglab.solvable.gaussian.settings import GaussianDataSettings, GaussianModelSettings
    >>> modality = GaussianModality(GaussianDataSettings(dimensions=1, n_train=100, n_test=100))
    >>> model = GaussianModel(GaussianModelSettings())
    >>> store = MemoryStore()
    >>> chain = run_chain(modality, model, regimes.replace, generations=3, store=store)
    >>> [generation.metrics["real_share"] for generation in chain]
    [1.0, 0.0, 0.0]
    >>> len(store.samples(2))
    100
    """

    def __init__(self) -> None:
        self._results: dict[tuple[int, str], Any] = {}

    def finished(self, g: int) -> bool:  # noqa: D102
        return self.has(g, "metrics")

    def has(self, g: int, stage: str) -> bool:  # noqa: D102
        return (g, stage) in self._results

    def put(self, g: int, stage: str, value: StageResult) -> None:  # noqa: D102
        if isinstance(value, Samples):
            value = value.stamped(g)
        self._results[g, stage] = value

    def model(self, g: int) -> GenerativeModel:  # noqa: D102
        fitted: GenerativeModel = self._results[g, "model"]
        return fitted

    def samples(self, g: int, stage: str = "samples") -> Samples:  # noqa: D102
        drawn: Samples = self._results[g, stage]
        return drawn

    def accepted(self, g: int) -> Tensor | None:  # noqa: D102
        return self._results.get((g, "accepted"))

    def features(self, g: int) -> Tensor:  # noqa: D102
        features: Features = self._results[g, "features"]
        return features.values

    def metrics(self, g: int) -> dict[str, Any]:  # noqa: D102
        return dict(self._results[g, "metrics"].values)
