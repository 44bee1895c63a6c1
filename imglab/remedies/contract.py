"""What a remedy is: it may change a fit before it is done, and the model that comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from torch import Tensor

from imglab.model import GenerativeModel
from imglab.progress import Stage, without_state
from imglab.samples import Samples, TrainingSet

Ability = TypeVar("Ability")


@dataclass(frozen=True)
class Fit:
    """One fit of a chain, before it is done.

    model        the model's settings; no weights are read from it
    train        the training set
    start        whose weights it starts from; None: from scratch
    generation   the generation whose model it makes
    seed         of the fit; what a remedy draws takes a seed derived from it
    resume       the state of a checkpoint in the middle of this fit, if there is one
    draw         (model, train, n, seed=) -> samples that a fitted model draws, as the chain draws
                 them: under conditions as `train` has them, shared out to all processes
    generation0  returns the model of generation 0, once there is one
    """

    model: GenerativeModel
    train: TrainingSet
    start: GenerativeModel | None
    generation: int
    seed: int
    resume: dict[str, Tensor] | None
    draw: Callable[..., Stage[Samples]]
    generation0: Callable[[], GenerativeModel]

    def run(self) -> Stage[GenerativeModel]:
        """Return the fit itself, which trains as `GenerativeModel.fit` does."""
        return self.model.fit(self.train, start=self.start, seed=self.seed, resume=self.resume)


class Remedy:
    """Changes fits of a chain, from generation `first` on. By itself it changes nothing.

    A class named in a config as `module:Class` is made with the keys of its section. Everything
    that it does follows from its keys and the fit: the same fit gives the same bytes, interrupted
    or not. At its neutral strength it leaves model, training set and drawing exactly as they are.
    """

    first: int = 1
    """First generation that it changes. From 1 on generation 0 is shared by all chains."""

    trains_itself: ClassVar[bool] = False
    """Whether it trains each model once more, on samples drawn for that: what it costs."""

    def problems(self, model: GenerativeModel) -> Iterable[tuple[str, str, str]]:
        """Yield (key, what, remedy) for what a model of a chain cannot take; asked before a run."""
        return ()

    def before(self, fit: Fit) -> Stage[Fit]:
        """Return the fit that is done in place of `fit`: other settings, or another training set.

        It is asked again where a fit goes on from a checkpoint.
        """
        yield from ()
        return fit

    def after(self, fit: Fit, fitted: GenerativeModel) -> Stage[GenerativeModel]:
        """Return the model that the generation has in place of the one just fitted."""
        yield from ()
        return fitted


def remedied(fit: Fit, remedies: Sequence[Remedy]) -> Stage[GenerativeModel]:
    """Do a fit with remedies, each of which takes what those before it leave."""
    # The checkpoints of a generation are those of its fit; what stands beside it is done again.
    active = [remedy for remedy in remedies if fit.generation >= remedy.first]
    for remedy in active:
        fit = yield from without_state(remedy.before(fit))

    fitted = yield from fit.run()
    for remedy in active:
        fitted = yield from without_state(remedy.after(fit, fitted))
    return fitted


def required(
    model: GenerativeModel,
    ability: type[Ability],
    name: str,
    remedy: str,
    check: Callable[[Ability], None] | None = None,
) -> Iterator[tuple[str, str, str]]:
    """Yield a problem unless a model has an ability, and its settings allow it.

    name    what the ability is, in words that go on from "needs a model "
    remedy  what to do about it
    check   raises ValueError, with the reason, where the settings do not allow it
    """
    provider = model.ability(ability)
    if provider is None:
        lacking = [each for each in model.members if each.ability(ability) is None]
        kind = type((lacking or [model])[0]).__name__
        yield "kind", f"needs a model {name}; {kind} does not", remedy
        return

    try:
        if check is not None:
            check(provider)
    except ValueError as error:
        yield "kind", f"cannot be: {error}", remedy
