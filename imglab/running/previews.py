"""What generation 0 draws while its fit still goes on: a first look at a chain that takes long."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from imglab import seeds
from imglab.generation import Generation
from imglab.modality import Modality
from imglab.model import GenerativeModel
from imglab.progress import Progress, Stage
from imglab.running.observers import Events, Observer
from imglab.samples import Samples, TrainingSet
from imglab.stages import draw
from imglab.store import files
from imglab.store.layout import PREVIEW

PARTS = 8
"""A fit is looked at after each of so many parts of it, but for the last."""

APART = 20.0
"""Seconds between two looks at least: a short fit is over soon."""


def previewing(
    modality: Modality, run: Path, count: int, seed: int, note: Callable[[str], None]
) -> Observer:
    """Return an observer that draws preview.png while generation 0 is fitted.

    The picture shows the same draws as that of generation 0 will, and is gone once that is there.

    count  how many samples it shows
    seed   of the chain
    note   takes a line for the user
    """
    path = run / PREVIEW
    real = TrainingSet.of(modality.real("train"))

    def show(model: GenerativeModel) -> None:
        drawing = draw(modality, model, real, count, source=None, seed=seeds.derive(seed, "shown"))
        samples = _result(drawing)
        if not path.exists():
            note(f"{path} shows what the model draws in the middle of its fit")
        files.write_atomically(path, partial(modality.render, [samples]))

    def watch(events: Events) -> Events:
        looks = _Looks()
        first = True
        with closing(events):
            for event in events:
                if isinstance(event, Generation):
                    first = False
                    path.unlink(missing_ok=True)
                elif first and event.model is not None and looks.is_due(event):
                    show(event.model())
                yield event

    return watch


class _Looks:
    """When a fit is looked at."""

    def __init__(self) -> None:
        self._part = 0
        self._latest = time.monotonic()

    def is_due(self, fit: Progress) -> bool:
        """Say whether another part of the fit is over, and the last look long enough ago."""
        part = PARTS * fit.seen // fit.total
        if part in (self._part, PARTS) or time.monotonic() - self._latest < APART:
            return False
        self._part = part
        self._latest = time.monotonic()
        return True


def _result(drawing: Stage[Samples]) -> Samples:
    """Go through a stage to its end and return its result."""
    while True:
        try:
            next(drawing)
        except StopIteration as end:
            samples: Samples = end.value
            return samples
