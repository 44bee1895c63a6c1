"""SIMS: guidance by the model fine-tuned on its own samples (Alemohammad et al. 2024, 2408.16333).

The fitted model is trained further on samples that it drew itself, and drawing is led away from
what came out: for diffusion models by the scores, for language models by the log-probabilities,

    s = (1 + w) s_reference - w s_self

The weights stay as they were: the next generation starts from the reference. Each sample costs two
calls of a network in place of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from imglab.model import GenerativeModel
from imglab.remedies.abilities import GuidesAway
from imglab.remedies.contract import required
from imglab.remedies.self_training import SelfTraining


@dataclass(frozen=True)
class NegativeGuidance(SelfTraining):
    """Leads the drawing of each generation away from the model trained on its samples.

    w        strength of the guidance; 0 leaves everything as it is
    samples  how many samples the model draws to train on; None: as many as its training set has
    """

    unable: ClassVar[str] = "the drawing of a fitted {} cannot be guided"
    refused: ClassVar[str] = "negative_guidance cannot use these weights"

    def problems(self, model: GenerativeModel) -> Iterator[tuple[str, str, str]]:
        """Yield a problem of a model whose drawing cannot be guided."""
        name = "whose drawing can be led away from another"
        remedy = "leave it out, or use neon"
        yield from required(model, GuidesAway, name, remedy, lambda each: each.check_guidance())

    def away(self, fitted: GenerativeModel, trained: GenerativeModel) -> GenerativeModel | None:
        """Return the same model, which draws with guidance."""
        reference = fitted.ability(GuidesAway)
        if reference is None:
            return None
        return reference.guided_away(trained, self.w)
