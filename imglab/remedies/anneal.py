"""Early stopping of the sampler that shrinks over generations (after Khelifa et al., 2606.13796).

A perfect diffusion model that stops at time delta of the process dx = -x dt + sqrt(2) dw draws

    x_delta = e^(-delta) x_0 + sqrt(1 - e^(-2 delta)) z

so that a chain of such models is a low-pass filter: mode k of the Hermite expansion decays by
q_t = e^(-k delta_t) in generation t. With a share alpha of fresh real data it follows

    c_t = q_t (alpha c_real + (1 - alpha) c_(t-1))

Here delta_t = start * decay^(t - first): with decay 1 it stops at the same time for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from imglab.errors import InputError, Problem
from imglab.model import GenerativeModel
from imglab.progress import Stage
from imglab.remedies.abilities import StopsEarly
from imglab.remedies.contract import Fit, Remedy, required


@dataclass(frozen=True)
class Anneal(Remedy):
    """Lets the sampler of generation g stop at time start * decay^(g - first); 0 changes nothing.

    start  time at which the first generation stops: the noise that stays in what it draws has the
           variance 1 - e^(-2 start)
    decay  factor from each generation to the next
    """

    start: float
    decay: float = 1.0
    first: int = 1

    def problems(self, model: GenerativeModel) -> Iterator[tuple[str, str, str]]:
        """Yield a problem of a model that draws by no diffusion, or on other noise levels."""
        name = "that draws by taking noise away"
        remedy = "leave it out, or choose a diffusion model"
        # No later generation stops earlier than the first.
        yield from required(
            model, StopsEarly, name, remedy, lambda each: each.check_stop(self.start)
        )

    def after(self, fit: Fit, fitted: GenerativeModel) -> Stage[GenerativeModel]:
        """Return the same model, whose sampler stops early."""
        yield from ()
        time = self.start * self.decay ** (fit.generation - self.first)
        if time == 0:
            return fitted

        stopping = fitted.ability(StopsEarly)
        if stopping is None:
            what = f"the sampler of a fitted {type(fitted).__name__} cannot stop early"
            raise InputError(Problem("remedy.kind", what, "choose another remedy"))
        return stopping.stopped(time)
