"""Lineage: which model each generation is, and whose weights it starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from imglab.model import GenerativeModel
from imglab.store.base import Store

Start: TypeAlias = Literal["previous", "base", "scratch"]


@dataclass(frozen=True)
class Lineage:
    """The models of a chain, one or several that take turns, and where their weights come from.

    models  the models' settings; no weights are read from them
    start   whose weights a generation is fine-tuned from: those of its `previous` turn, those of one
            `base` for all turns, or no weights at all (`scratch`)
    bases   for each model, weights for its first turn, and with `start="base"` for every turn;
            None: the first turn starts from scratch, and is the base of the later ones
    """

    models: Sequence[GenerativeModel]
    start: Start
    bases: Sequence[GenerativeModel | None]

    @classmethod
    def of(
        cls,
        model: GenerativeModel | Sequence[GenerativeModel],
        *,
        start: Start = "previous",
        base: GenerativeModel | Sequence[GenerativeModel | None] | None = None,
    ) -> Lineage:
        """Return the lineage of one model or of several; one `base` counts for all of them."""
        models = [model] if isinstance(model, GenerativeModel) else list(model)
        bases = list(base) if isinstance(base, Sequence) else [base] * len(models)
        return cls(models, start, bases)

    def turn(self, generation: int) -> int:
        """Return which of the models a generation is."""
        return generation % len(self.models)

    def model(self, generation: int) -> GenerativeModel:
        """Return the settings of a generation's model."""
        return self.models[self.turn(generation)]

    def source(self, generation: int) -> int | None:
        """Return the number that `Samples.source` gives to a generation's samples; None: only one model draws."""
        return self.turn(generation) if len(self.models) > 1 else None

    def fits(self, generations: int) -> int:
        """Return how many of so many generations one model is at most."""
        return -(-generations // len(self.models))

    def parent(self, generation: int) -> int | None:
        """Return the generation whose weights this one starts from; None: from a base, or from scratch."""
        turn = self.turn(generation)

        if self.start == "scratch" or generation == turn:
            return None
        if self.start == "previous":
            return generation - len(self.models)
        return turn if self.bases[turn] is None else None

    def weights(self, generation: int, store: Store) -> GenerativeModel | None:
        """Return the fitted model that a generation starts from; None: from scratch."""
        parent = self.parent(generation)

        if parent is not None:
            return store.model(parent)
        return None if self.start == "scratch" else self.bases[self.turn(generation)]
