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

from imglab import seeds
from imglab.errors import InputError, Problem
from imglab.model import GenerativeModel
from imglab.progress import Stage
from imglab.remedies.abilities import MovesAway
from imglab.remedies.contract import Fit, Remedy, required
from imglab.samples import TrainingSet


@dataclass(frozen=True)
class Neon(Remedy):
    """Moves the weights of each generation away from those of the model trained on its samples.

    w        how far, in units of the way that self-training goes; 0 leaves everything as it is
    samples  how many samples the model draws to train on; None: as many as its training set has
    """

    w: float
    samples: int | None = None
    first: int = 1
    trains_itself: ClassVar[bool] = True

    def problems(self, model: GenerativeModel) -> Iterator[tuple[str, str, str]]:
        """Yield a problem of a model without weights that can be moved."""
        name = "with named weights that can be moved"
        yield from required(model, MovesAway, name, "leave it out, or choose another model")

    def after(self, fit: Fit, fitted: GenerativeModel) -> Stage[GenerativeModel]:
        """Return the model with the weights (1 + w) reference - w self-trained."""
        if self.w == 0:
            return fitted

        trained = yield from self_trained(fit, fitted, self.samples)
        reference = fitted.ability(MovesAway)
        if reference is None:
            what = f"a fitted {type(fitted).__name__} has no weights that neon can move"
            raise InputError(Problem("remedy.kind", what, "choose another remedy"))
        try:
            return reference.moved_away(trained, self.w)
        except ValueError as error:
            what = f"neon cannot move these weights: {error}"
            raise InputError(Problem("remedy.kind", what, "choose another remedy")) from error


def self_trained(fit: Fit, fitted: GenerativeModel, samples: int | None) -> Stage[GenerativeModel]:
    """Return the model trained further on samples that it drew itself, as a later fit trains.

    samples  how many; None: as many as the training set of `fit` has
    """
    seed = seeds.derive(fit.seed, "self-training")
    n = samples or len(fit.train)
    drawn = yield from fit.draw(fitted, fit.train, n, seed=seeds.derive(seed, "samples"))
    train = TrainingSet.of(drawn.stamped(fit.generation))
    return (yield from fit.model.fit(train, start=fitted, seed=seeds.derive(seed, "fit")))
