"""What a regime's training sets consist of, in numbers: all that closed forms need to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Composition:
    """The training sets of generations 1, 2, ... in a run whose generations leave n samples each.

    trains_on   last             all samples of the last generation and nothing else
                real and last    `parts` of the real data and of the last generation's samples
                all              the real data and the samples of all earlier generations
                subsample        n of these, drawn anew without replacement
    parts       how many real samples and how many of the last generation's a training set contains,
                in generations 1, 2, ...; the last pair holds for all that follow
    shared      what the real parts of two generations have in common: the covariance of their means
                in units of the real variance. None: nothing, since they are fresh; 1/k: all have
                the same k samples; 1/n: each has another k of the same n
    keeps_real  whether every training set contains the whole real training set
    """

    trains_on: Literal["last", "real and last", "all", "subsample"]
    parts: tuple[tuple[int, int], ...] = ()
    shared: float | None = None
    keeps_real: bool = False
