"""Entropy-based selection (Shi et al. 2025, "A closer look at model collapse", 2509.16499)."""

from __future__ import annotations

import torch
from torch import Tensor

from imglab.curation.context import Context, kept_size
from imglab.samples import Samples

DECAY = 0.9
"""Factor by which the threshold falls whenever no sample lies beyond it."""

SMALLEST = 1e-6
"""Where the threshold has fallen to this part of its first value, every distance is enough."""


def entropy(samples: Samples, context: Context, *, keep: float) -> Tensor:
    """Keep a share of high entropy, by the paper's threshold decay filter.

    The Kozachenko-Leonenko estimate of the entropy of a set rises with the logarithms of the
    distances to the nearest neighbours. So a sample is accepted, in the order in which they were
    drawn, where it is farther than a threshold from all accepted ones; the threshold falls until
    the share is reached. `diversity` always takes the farthest sample, and so the outliers first.
    """
    features = context.features.double()
    size = kept_size(len(samples), keep)
    distance = torch.full((len(features),), torch.inf, dtype=torch.float64)
    largest = float(2 * (features - features.mean(0)).norm(dim=1).max()) if size else 0.0
    threshold = largest

    accepted: list[int] = []
    while len(accepted) < size:
        row = int((distance > threshold).to(torch.uint8).argmax())
        if float(distance[row]) <= threshold:
            # What has been accepted has distance -1, and is never taken again.
            threshold = threshold * DECAY if threshold > SMALLEST * largest else -0.5
            continue

        accepted.append(row)
        distance = torch.minimum(distance, (features - features[row]).norm(dim=1))
        distance[row] = -1
    return torch.tensor(accepted, dtype=torch.int64).sort().values
