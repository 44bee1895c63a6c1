"""Neon: negative extrapolation from self-training (Alemohammad and Baraniuk 2025, 2510.03597).

The fitted model, the reference, is trained further on samples that it drew itself, and its weights
then move away from what came out:

    theta = (1 + w) theta_reference - w theta_self

The paper shows that w > 0 lowers the risk where the sampler seeks modes (few steps, a temperature
below 1, top-k), and w < 0 where it seeks diversity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from imglab.model import GenerativeModel
from imglab.remedies.abilities import MovesAway
from imglab.remedies.contract import required
from imglab.remedies.self_training import SelfTraining


@dataclass(frozen=True)
class Neon(SelfTraining):
    """Moves the weights of each generation away from those of the model trained on its samples.

    w        how far, in units of the way that self-training goes; 0 leaves everything as it is
    samples  how many samples the model draws to train on; None: as many as its training set has
    """

    unable: ClassVar[str] = "a fitted {} has no weights that neon can move"
    refused: ClassVar[str] = "neon cannot move these weights"

    def problems(self, model: GenerativeModel) -> Iterator[tuple[str, str, str]]:
        """Yield a problem of a model without weights that can be moved."""
        name = "with named weights that can be moved"
        yield from required(model, MovesAway, name, "leave it out, or choose another model")

    def away(self, fitted: GenerativeModel, trained: GenerativeModel) -> GenerativeModel | None:
        """Return the model with the weights (1 + w) reference - w self-trained."""
        reference = fitted.ability(MovesAway)
        if reference is None:
            return None
        return reference.moved_away(trained, self.w)
