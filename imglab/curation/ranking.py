"""Curators that keep a share of the samples: at random, the best ones, or the most spread."""

from __future__ import annotations

import torch
from torch import Tensor

from imglab import seeds
from imglab.curation.context import Context, kept_size, required
from imglab.metrics import nearest_distances
from imglab.modality import Judge
from imglab.model import Density
from imglab.samples import Samples


def random(samples: Samples, context: Context, *, keep: float) -> Tensor:
    """Keep a share at random: the control of every other curator."""
    order = torch.randperm(len(samples), generator=seeds.generator(context.seed))
    return order[: kept_size(len(samples), keep)].sort().values


def confidence(samples: Samples, context: Context, *, keep: float) -> Tensor:
    """Keep the share of which the modality's judge is most sure."""
    judge = required(context.modality, Judge)
    return best(judge.confidence(samples), keep)


def oracle(samples: Samples, context: Context, *, keep: float) -> Tensor:
    """Keep the share nearest to real training samples, by features: it knows the truth."""
    return best(-nearest_distances(train=context.real, synthetic=context.features), keep)


def density(samples: Samples, context: Context, *, keep: float) -> Tensor:
    """Keep the share most likely under generation 0's model; for text, of lowest perplexity."""
    return best(required(context.generation0, Density).log_density(samples), keep)


def diversity(samples: Samples, context: Context, *, keep: float) -> Tensor:
    """Keep a share that is spread as far as possible (Gonzalez 1985).

    Each next sample is the one farthest from those chosen before.
    """
    features = context.features.double()
    size = kept_size(len(samples), keep)
    if not size:
        return torch.empty(0, dtype=torch.int64)

    # Begin with the sample nearest to the mean. A chosen one gets distance -1, so that it is not
    # chosen again where all samples are equal.
    chosen = [int((features - features.mean(0)).square().sum(1).argmin())]
    distance = (features - features[chosen[0]]).square().sum(1)
    distance[chosen[0]] = -1

    for _ in range(size - 1):
        chosen.append(int(distance.argmax()))
        distance_to_last = (features - features[chosen[-1]]).square().sum(1)
        distance = torch.minimum(distance, distance_to_last)
        distance[chosen[-1]] = -1
    return torch.tensor(chosen).sort().values


def best(scores: Tensor, keep: float) -> Tensor:
    """Return the indices of the highest scores; NaN is the worst, and of equals the first wins."""
    order = scores.double().nan_to_num(nan=-torch.inf).argsort(descending=True, stable=True)
    return order[: kept_size(len(scores), keep)].sort().values
