"""What a closed form is asked about: the numbers and the settings of one chain. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import Any

from imglab.regimes.composition import Composition

Curve = list[float | None]
"""A value for each of generations 0, 1, ...; None where theory gives none."""


@dataclass(frozen=True)
class Case:
    """A chain, as far as closed forms ask about it.

    data, model  sections of its config
    composition  of the training sets of generations 1, 2, ...
    real         size of the real training set
    left         how many samples each generation leaves
    generations  how many generations to predict
    weight       share of the loss that the remedy `weights` gives to real data; None: no remedy
    """

    data: Any
    model: Any
    composition: Composition
    real: int
    left: int
    generations: int
    weight: float | None = None

    @property
    def is_even(self) -> bool:
        """Whether every generation leaves as many samples as there are real ones."""
        return self.left == self.real

    @property
    def parts(self) -> Iterator[tuple[int, int]] | None:
        """How many (real, synthetic) samples generations 1, 2, ... train on.

        None: they train on other samples, too, or the numbers are not known.
        """
        if self.composition.trains_on == "last":
            return repeat((0, self.left))
        is_counted = self.is_even or not self.composition.keeps_real
        if self.composition.trains_on == "real and last" and is_counted:
            parts = self.composition.parts
            return chain(parts, repeat(parts[-1]))
        return None

    def curve(self, values: Iterator[float]) -> Curve:
        """Return the first values, one for each generation, and None where there are no more."""
        endless: Iterator[float | None] = chain(values, repeat(None))
        return list(islice(endless, self.generations))
