"""Curation by preference (Ferbach et al. 2024, "Self-consuming generative models with curated data
provably optimize human preferences", 2407.09499).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from imglab import seeds
from imglab.curation.context import Context, required
from imglab.modality import Judge
from imglab.model import Density
from imglab.samples import Samples


def preference(
    samples: Samples,
    context: Context,
    *,
    choices: int,
    reward: Literal["confidence", "density"],
    scale: float,
) -> Tensor:
    """Keep one of each `choices` successive samples, by the Bradley-Terry (Luce) model.

    Sample x is chosen among K with the probability e^r(x) / sum e^r(x_j), so that the accepted
    ones have a distribution in proportion to p(x) e^r(x) as K grows. What is left over of the
    samples after the last whole group is not kept.

    reward  r before it is multiplied by `scale`: the confidence of the modality's judge, or the
            log-density under generation 0's model
    """
    if reward == "confidence":
        rewards = required(context.modality, Judge).confidence(samples).double()
    else:
        rewards = required(context.generation0, Density).log_density(samples).double()

    # Gumbel noise: the largest sum is a draw from the softmax.
    groups = len(samples) // choices
    generator = seeds.generator(context.seed)
    uniforms = torch.rand(groups * choices, generator=generator, dtype=torch.float64)
    noise = -(-uniforms.clamp(min=torch.finfo(torch.float64).tiny).log()).log()
    utility = scale * rewards[: groups * choices].nan_to_num(nan=-torch.inf) + noise
    chosen = utility.view(groups, choices).argmax(1)
    return torch.arange(groups) * choices + chosen
