"""A finished generation, and what it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from imglab.modality import Modality
from imglab.model import GenerativeModel
from imglab.samples import Samples
from imglab.store.base import Store


@dataclass(frozen=True)
class Generation:
    """A finished generation; 0 is trained on real data only. All but its metrics is read when asked for."""

    index: int
    metrics: dict[str, Any]
    store: Store

    @property
    def samples(self) -> Samples:
        """What it drew: scored, and trained on by later generations."""
        return self.store.samples(self.index)

    @property
    def shown(self) -> Samples:
        """The few drawn from the same latents or prompts in every generation, for the eye only."""
        return self.store.samples(self.index, "shown")

    @property
    def model(self) -> GenerativeModel:
        """The fitted model."""
        return self.store.model(self.index)

    def _repr_html_(self) -> str:
        from imglab.report.notebook import generation_html

        return generation_html(self.metrics, self.shown)


def _show(modality: Modality, store: Store, g: int, path: Path) -> None:
    modality.render(_Shown(store, g + 1), path)


class _Shown(Sequence[Samples]):
    """What each generation shows, read when it is asked for: most pictures need the last one alone."""

    def __init__(self, store: Store, count: int) -> None:
        self._store, self._generations = store, range(count)

    def __len__(self) -> int:
        return len(self._generations)

    @overload
    def __getitem__(self, at: int) -> Samples: ...

    @overload
    def __getitem__(self, at: slice) -> list[Samples]: ...

    def __getitem__(self, at: int | slice) -> Samples | list[Samples]:
        if isinstance(at, slice):
            return [self._store.samples(g, "shown") for g in self._generations[at]]
        return self._store.samples(self._generations[at], "shown")
