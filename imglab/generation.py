"""A finished generation, and the pictures that a person looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Any, ParamSpec, overload

from imglab.measure import Measure
from imglab.measures import Continuation
from imglab.modality import ContinuesOpenings
from imglab.model import GenerativeModel
from imglab.progress import Progress
from imglab.samples import Samples
from imglab.stages import keep
from imglab.store.base import Store
from imglab.store.layout import panel_generations
from imglab.store.views import HasView

Settings = ParamSpec("Settings")


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
    """Observes a chain: keeps the pictures, and the real samples nearest to each generation."""

    def __init__(
        self, measure: Measure, seed: int = 0, *, each: bool = True, last: int | None = None
    ) -> None:
        """Draw pictures as the modality renders them; `measure` finds the nearest real samples.

        seed  of the noise with which all generations continue one opening
        each  whether each generation has a picture; if not, only generation `last` of the chain
        """
        self._measure = measure
        self._seed = seed
        self._each = each
        self._last = last

    def __call__(self, store: Store, g: int) -> Iterator[Progress]:
        """Make what a person looks at in generation g; beside generation 0 stand real samples."""
        if g == 0:
            count = len(store.samples(g, "shown"))
            yield from keep(store, g, "real", self._measure.real_shown(count))

        nearest = self._measure.nearest_real(store.samples(g, "shown"))
        yield from keep(store, g, "exhibit", nearest)

        modality = self._measure.modality
        shown = _ShownSamples(store, g + 1)
        draw: Callable[[Path], None] = partial(modality.render, shown)
        continues = modality.ability(ContinuesOpenings)
        if continues is not None:
            yield from self._continue(continues, store, g)
            panel = _panel(store, g + 1)
            if panel:
                draw = partial(continues.render_panel, shown, panel)

        if self._each:
            store.picture(g, modality.picture, draw)
        elif g == self._last:
            store.last_picture(modality.picture, draw)

    def _continue(self, continues: ContinuesOpenings, store: Store, g: int) -> Iterator[Progress]:
        """Let generation g continue the opening that generation 0 chose.

        In a chain that began before there was such a panel, no generation has one.
        """
        first = store.continuation(0)
        if store.has(g, "panel") or (g > 0 and first is None):
            return

        with store.timed(generation=g, stage="panel"):
            model = store.model(g)
            continuation = continues.continuation(model, first=first, seed=self._seed)
        if continuation is not None:
            yield Progress("panel", 1, 1)
            store.put(g, "panel", continuation)


def _panel(store: Store, count: int) -> dict[int, Continuation]:
    """Return the continuations that stand together once there are so many generations."""
    panel = {g: store.continuation(g) for g in panel_generations(count)}
    return {g: continuation for g, continuation in panel.items() if continuation is not None}


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


def finished_generations(
    events: Callable[Settings, Iterator[Progress | Generation]],
) -> Callable[Settings, Iterator[Generation]]:
    """Return a function of the same signature that yields only what is finished."""

    # It has the signature of `events`, and a docstring of its own: it yields something else.
    @wraps(events, assigned=())
    def run_chain(*parts: Settings.args, **settings: Settings.kwargs) -> Iterator[Generation]:
        """Run a chain, or the rest of it, with the arguments of `chain_events`.

        Yields each generation as it is finished.
        """
        return (event for event in events(*parts, **settings) if isinstance(event, Generation))

    return run_chain
