"""Truncated cross-entropy (ForTIFAI, Shabgahi et al. 2025, 2509.08972).

A fit leaves out the tokens of which the network is already sure, as it is of what models wrote:

    TCE(p) = -log p where p <= threshold, 0 otherwise

where p is the probability of the token that stands there. The mean is over all tokens, those
that are left out included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from imglab.model import GenerativeModel
from imglab.progress import Stage
from imglab.remedies.abilities import TruncatesLoss
from imglab.remedies.contract import Fit, Remedy, required


@dataclass(frozen=True)
class TruncatedLoss(Remedy):
    """Leaves tokens of a probability above `threshold` out of the loss; 1 leaves out none."""

    threshold: float
    first: int = 1

    def problems(self, model: GenerativeModel) -> Iterator[tuple[str, str, str]]:
        """Yield a problem of a model that is not trained on tokens."""
        name = "that is trained to predict tokens"
        yield from required(model, TruncatesLoss, name, "leave it out, or use a language_model")

    def before(self, fit: Fit) -> Stage[Fit]:
        """Return the fit with the truncated loss."""
        yield from ()
        model = fit.model.ability(TruncatesLoss)
        if model is None or self.threshold == 1:
            return fit
        return replace(fit, model=model.truncating(self.threshold))
