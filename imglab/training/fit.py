"""The one training loop of the lab: every network is fitted here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from imglab import distributed
from imglab.progress import Progress, Stage
from imglab.samples import TrainingSet
from imglab.training.batches import Batches
from imglab.training.lora import Adapters
from imglab.training.recipe import Recipe
from imglab.training.trainer import Objective, Trainer

if TYPE_CHECKING:
    from imglab.model import GenerativeModel


@dataclass(frozen=True)
class Fitted:
    """A fitted network, how many samples it has seen, and the unit of the budget it was given.

    adapters  those that were trained and then merged into the network, apart from it, if any were
    """

    network: Any
    samples_seen: int
    budget: str
    adapters: Adapters | None = None

    @property
    def training(self) -> dict[str, Any]:
        """What metrics.json says of the fit."""
        return {"samples_seen": self.samples_seen, "budget": self.budget}


def fit(
    network: nn.Module,
    objective: Objective,
    train: TrainingSet,
    recipe: Recipe,
    *,
    seed: int,
    join: int = 1,
    resume: dict[str, Tensor] | None = None,
    around: Callable[[Any], GenerativeModel] | None = None,
    in_threads: bool = False,
) -> Stage[Fitted]:
    """Train `network` in place until the budget of the recipe is spent; return it fitted.

    Of several processes each trains on its rows of every batch, with the noise that the whole
    batch would have, so that the steps are those of one process up to rounding.

    join        successive samples that make one example
    resume      the state of a checkpoint of this fit
    around      makes a model around a network, so that one can look at it in the middle of the fit
    in_threads  whether threads may share a batch: neither loss nor network keeps anything of a call
    Raises Stopped, before a step would spoil the weights, where loss or gradient are not finite.
    """
    batches = Batches(train, recipe.batch, seed, join=join)
    steps = recipe.steps(batches.examples)
    samples = recipe.batch * join

    trainer = Trainer(network, recipe, seed, steps=steps, in_threads=in_threads)
    for step in range(trainer.restore(resume), steps):
        batch = batches.weighted(objective.batch(batches[step], step), step)
        loss = trainer.backward(objective, batch, step)
        trainer.clip_gradient(loss, seen=step * samples)
        trainer.update(recipe.learning_rate_at(step / steps))

        state = partial(trainer.state, step + 1)
        model = trainer.looked_at(around)
        yield Progress("fit", (step + 1) * samples, steps * samples, _mean(loss), state, model)

    fitted, adapters = trainer.finish()
    return Fitted(fitted, steps * samples, recipe.budget, adapters)


def _mean(loss: float) -> float:
    """Return the loss of the whole batch: the mean over processes of their shares of it."""
    losses = distributed.all_gather(loss)
    return sum(losses) / len(losses)
