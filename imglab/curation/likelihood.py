"""Likelihood-rank curation: keep the end of the ranking by the model's own likelihood."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from imglab.curation.context import Context, required
from imglab.curation.ranking import best
from imglab.model import Density
from imglab.samples import Samples


def likelihood_rank(
    samples: Samples, context: Context, *, keep: float, end: Literal["least", "most"]
) -> Tensor:
    """Keep the share that is the least, or the most, likely under the model that drew it.

    The least likely half preserves rare modes better than a random half, and that better than the
    most likely half. `density` ranks by generation 0's model instead.
    """
    scores = required(context.model, Density).log_density(samples)
    if end == "least":
        scores = -scores
    return best(scores, keep)
