"""A finished generation, and the pictures that a person looks at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, overload

from imglab.measure import Measure
from imglab.model import GenerativeModel
from imglab.progress import Progress
from imglab.samples import Samples
from imglab.stages import keep
from imglab.store.base import Store
from imglab.store.views import HasView


@dataclass(frozen=True)
class Generation(HasView):
    """A finished generation; generation 0 is trained on real data only.

    Samples and model are read from the store when they are asked for.
    """

    index: int
    metrics: dict[str, Any]
    store: Store

    @property
    def samples(self) -> Samples:
        """What it drew: scored, and trained on by later generations."""
        return self.store.samples(self.index)

    @property
    def shown(self) -> Samples:
        """A few samples from the same noise or prompts in every generation, for the eye only."""
        return self.store.samples(self.index, "shown")

    @property
    def model(self) -> GenerativeModel:
        """The fitted model."""
        return self.store.model(self.index)


class Pictures:
    """Observes a chain: keeps each generation's picture, and the real samples nearest to it."""

    def __init__(self, measure: Measure) -> None:
        """Draw pictures as the modality renders them; `measure` finds the nearest real samples."""
        self._measure = measure

    def __call__(self, store: Store, g: int) -> Iterator[Progress]:
        """Make what a person looks at in generation g; beside generation 0 stand real samples."""
        if g == 0:
            count = len(store.samples(g, "shown"))
            yield from keep(store, g, "real", self._measure.real_shown(count))

        nearest = self._measure.nearest_real(store.samples(g, "shown"))
        yield from keep(store, g, "exhibit", nearest)

        modality = self._measure.modality
        shown = _ShownSamples(store, g + 1)
        store.picture(g, modality.picture, partial(modality.render, shown))


class _ShownSamples(Sequence[Samples]):
    """What each generation shows, read when it is asked for: most pictures need only the last."""

    def __init__(self, store: Store, generations: int) -> None:
        self._store = store
        self._generations = range(generations)

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
