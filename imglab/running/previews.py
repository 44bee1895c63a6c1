"""What generation 0 draws while its fit still goes on: a first look at a chain that takes long."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from imglab import distributed, seeds
from imglab.errors import Stopped
from imglab.generation import Generation
from imglab.modality import Modality
from imglab.model import GenerativeModel
from imglab.progress import Progress, finish
from imglab.running.observers import Events, Observer
from imglab.samples import TrainingSet
from imglab.stages import draw
from imglab.store import files
from imglab.store.layout import PREVIEW, count_finished
from imglab.training.memory import is_out_of_memory

PARTS = 8
"""A fit is looked at after each of so many parts of it, but for the last."""

APART = 20.0
"""Seconds between two looks at least: a short fit is over soon."""

SHARE = 0.05
"""Share of its time that a fit may be stopped for looks."""


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
        samples = finish(drawing)
        if not path.exists():
            note(f"{path} shows what the model draws in the middle of its fit")
        files.write_atomically(path, partial(modality.render, [samples]))

    def watch(events: Events) -> Events:
        looks = _Looks(show, note)
        first = count_finished(run) == 0
        if not first:
            _remove(path)

        with closing(events):
            for event in events:
                if isinstance(event, Generation):
                    first = False
                    _remove(path)
                elif first and event.model is not None:
                    looks.take(event, event.model)
                yield event

    return watch


class _Looks:
    """Looks at a fit: as often as its parts end, and no more than a share of its time."""

    def __init__(self, show: Callable[[GenerativeModel], None], note: Callable[[str], None]):
        self._show = show
        self._note = note
        self._part = 0
        self._next = time.monotonic() + APART
        self._over = False

    def take(self, fit: Progress, model: Callable[[], GenerativeModel]) -> None:
        """Show the model if it is time to, and there is the memory."""
        part = PARTS * fit.seen // fit.total
        began = time.monotonic()
        if self._over or part in (self._part, PARTS) or began < self._next:
            return

        self._part = part
        try:
            self._show(model())
        except (RuntimeError, Stopped) as error:
            if not (isinstance(error, Stopped) or is_out_of_memory(error)):
                raise
            self._over = True
            self._note("there is too little memory for pictures in the middle of the fit")
        now = time.monotonic()
        self._next = now + max(APART, (now - began) / SHARE)


def _remove(path: Path) -> None:
    if distributed.is_main():
        path.unlink(missing_ok=True)
