"""Token editing (ToEdit, Zhu et al. 2024, "How to synthesize text data without model collapse?",
2412.14689).

Before a fit, each token of the training set that a prior finds all too likely is drawn again:

    x'_t = a draw from p(. | x_<t) where p(x_t | x_<t) > threshold, x_t otherwise

The prior is the model of generation 0, which has seen real data alone. Real and synthetic texts
are edited alike; the texts in the pool stay as they were drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from imglab import seeds
from imglab.errors import InputError, Problem
from imglab.model import GenerativeModel
from imglab.progress import Progress, Stage
from imglab.remedies.abilities import EditsTokens
from imglab.remedies.contract import Fit, Remedy, required
from imglab.samples import TrainingSet


@dataclass(frozen=True)
class TokenEditing(Remedy):
    """Draws again the tokens of a probability above `threshold`; 1 leaves all texts as they are.

    Generation 0 has no prior, so that `first` is at least 1.
    """

    threshold: float
    first: int = 1

    def problems(self, model: GenerativeModel) -> Iterator[tuple[str, str, str]]:
        """Yield a problem of a model that reads no tokens, or where there is no prior yet."""
        name = "that says how likely tokens are"
        yield from required(model, EditsTokens, name, "leave it out, or use a language_model")
        if self.first == 0:
            what = "needs the model of generation 0, which there is not before"
            yield "first", what, "at least 1"

    def before(self, fit: Fit) -> Stage[Fit]:
        """Return the fit on the edited training set."""
        if self.threshold == 1:
            return fit

        prior = fit.generation0().ability(EditsTokens)
        if prior is None:
            what = "token_editing needs a language model as generation 0"
            raise InputError(Problem("remedy.kind", what, "choose another remedy"))
        seed = seeds.derive(fit.seed, "editing")
        edited = prior.edited(fit.train.all(), self.threshold, seed=seed)
        yield Progress("edit", len(edited), len(edited))

        train = TrainingSet.of(edited)
        if fit.train.weights is not None:
            train = train.weighted(fit.train.weights)
        return replace(fit, train=train)
