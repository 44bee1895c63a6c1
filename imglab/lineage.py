"""Lineage: which model each generation is, and whose weights it starts from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

from imglab.model import GenerativeModel
from imglab.progress import Stage
from imglab.remedies import Fit, Remedy, remedied
from imglab.samples import Samples, TrainingSet
from imglab.store.base import Store

Start: TypeAlias = Literal["previous", "base", "scratch"]


@dataclass(frozen=True)
class Lineage:
    """The models of a chain, one or several that take turns, and where their weights come from.

    models  the models' settings; no weights are read from them
    start   where the weights of a model's later turns come from: from its `previous` turn; from
            its `base`, the same each time; or from nowhere (`scratch`)
    bases   for each model, the weights of its first turn, and with `start="base"` of every turn;
            None: its first turn starts from scratch, and is the base of the later ones
    remedies  what changes fits, or the models that come out of them, in this order
    """

    models: Sequence[GenerativeModel]
    start: Start
    bases: Sequence[GenerativeModel | None]
    remedies: Sequence[Remedy] = ()

    @classmethod
    def of(
        cls,
        model: GenerativeModel | Sequence[GenerativeModel],
        *,
        start: Start = "previous",
        base: GenerativeModel | Sequence[GenerativeModel | None] | None = None,
        remedies: Sequence[Remedy] = (),
    ) -> Lineage:
        """Return the lineage of one model or of several; one `base` counts for all of them."""
        models: Sequence[GenerativeModel]
        if isinstance(model, GenerativeModel):
            models = [model]
        else:
            models = list(model)

        bases: Sequence[GenerativeModel | None]
        if isinstance(base, Sequence):
            bases = list(base)
        else:
            bases = [base] * len(models)
        return cls(models, start, bases, remedies)

    def turn(self, generation: int) -> int:
        """Return which of the models a generation is."""
        return generation % len(self.models)

    def model(self, generation: int) -> GenerativeModel:
        """Return the settings of a generation's model."""
        return self.models[self.turn(generation)]

    def source(self, generation: int) -> int | None:
        """Return the number of a generation's model as `Samples.source`; None: only one."""
        if len(self.models) == 1:
            return None
        return self.turn(generation)

    def fits(self, generations: int) -> int:
        """Return how many of so many generations one model is at most."""
        return -(-generations // len(self.models))

    def parent(self, generation: int) -> int | None:
        """Return the generation whose weights this one starts from; None: it starts from none."""
        turn = self.turn(generation)

        if self.start == "scratch" or generation == turn:
            return None
        if self.start == "previous":
            return generation - len(self.models)
        if self.bases[turn] is None:
            return turn
        return None

    def fit(
        self,
        generation: int,
        store: Store,
        train: TrainingSet,
        *,
        seed: int,
        draw: Callable[..., Stage[Samples]],
    ) -> Stage[GenerativeModel]:
        """Return the fit of a generation's model with its remedies, from its checkpoint if any.

        draw  draws for a remedy (`Fit.draw`)
        """
        fit = Fit(
            model=self.model(generation),
            train=train,
            start=self.weights(generation, store),
            generation=generation,
            seed=seed,
            resume=store.checkpoint(generation),
            draw=draw,
            generation0=partial(store.model, 0),
        )
        return remedied(fit, self.remedies)

    def weights(self, generation: int, store: Store) -> GenerativeModel | None:
        """Return the fitted model that a generation starts from; None: from scratch."""
        if self.start == "scratch":
            return None

        parent = self.parent(generation)
        if parent is None:
            return self.bases[self.turn(generation)]
        return store.model(parent)
