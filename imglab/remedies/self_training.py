"""Remedies that train a model further on its own samples, and keep away from what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from imglab import seeds
from imglab.errors import InputError, Problem
from imglab.model import GenerativeModel
from imglab.progress import Stage
from imglab.remedies.contract import Fit, Remedy
from imglab.samples import TrainingSet


@dataclass(frozen=True)
class SelfTraining(Remedy):
    """Trains each generation's model once more, and changes it by what self-training does to it.

    w        how strongly; 0 leaves everything as it is
    samples  how many samples the model draws to train on; None: as many as its training set has
    """

    w: float
    samples: int | None = None
    first: int = 1
    trains_itself: ClassVar[bool] = True

    unable: ClassVar[str]
    """What to say of a fitted model that lacks the ability, with `{}` for its class."""
    refused: ClassVar[str]
    """What to say before the reason for which two models do not go together."""

    def away(self, fitted: GenerativeModel, trained: GenerativeModel) -> GenerativeModel | None:
        """Return the model kept away from the self-trained one; None: it has no such ability.

        Raises ValueError, with the reason, where the two do not go together.
        """
        raise NotImplementedError

    def after(self, fit: Fit, fitted: GenerativeModel) -> Stage[GenerativeModel]:
        """Return the model kept away from the self-trained one."""
        if self.w == 0:
            return fitted

        trained = yield from self_trained(fit, fitted, self.samples)
        try:
            kept_away = self.away(fitted, trained)
        except ValueError as error:
            what = f"{self.refused}: {error}"
            raise InputError(Problem("remedy.kind", what, "choose another remedy")) from error
        if kept_away is None:
            what = self.unable.format(type(fitted).__name__)
            raise InputError(Problem("remedy.kind", what, "choose another remedy"))
        return kept_away


def self_trained(fit: Fit, fitted: GenerativeModel, samples: int | None) -> Stage[GenerativeModel]:
    """Return the model trained further on samples that it drew itself, as a later fit trains.

    samples  how many; None: as many as the training set of `fit` has
    """
    seed = seeds.derive(fit.seed, "self-training")
    n = samples or len(fit.train)
    drawn = yield from fit.draw(fitted, fit.train, n, seed=seeds.derive(seed, "samples"))
    train = TrainingSet.of(drawn.stamped(fit.generation))
    return (yield from fit.model.fit(train, start=fitted, seed=seeds.derive(seed, "fit")))
