"""A verifier of labels (Feng et al. 2024, "Beyond model collapse", 2406.07515)."""

from __future__ import annotations

import torch
from torch import Tensor

from imglab import seeds
from imglab.curation.context import Context, required
from imglab.errors import InputError, Problem
from imglab.modality import Judge
from imglab.samples import Samples

SURE = 0.5
"""From this confidence on the judge says that a sample is what its label says."""


def label_verifier(
    samples: Samples, context: Context, *, true_positive: float, false_positive: float
) -> Tensor:
    """Keep samples whose label the modality's judge confirms, with errors as asked for.

    true_positive   probability that a sample of right label is kept (the paper's phi)
    false_positive  probability that one of wrong label is kept (the paper's psi); selection
                    avoids the collapse where the first is enough larger than the second
    """
    if samples.condition is None:
        what = "verifies labels, and these samples have none"
        remedy = "set model.class_conditional, or choose another"
        raise InputError(Problem("curate.kind", what, remedy))

    is_right = required(context.modality, Judge).confidence(samples) >= SURE
    chance = torch.rand(len(samples), generator=seeds.generator(context.seed))
    return (chance < torch.where(is_right, true_positive, false_positive)).nonzero().flatten()
