"""Has the model copied its training data? Distances to, and exact repeats of, real training samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from imglab.metrics.neighbours import in_one_frame, nearest_squared_distance
from imglab.metrics.undefined import Undefined, check_features

SPARE = 13
"""Neighbours looked at again in float64 beyond those asked for."""


def nearest_distances(*, train: Tensor, synthetic: Tensor) -> Tensor:
    """Return the distance of each synthetic sample to its nearest real training sample, float64 [M].

    train, synthetic  float features [N, D], [M, D]; Euclidean, in feature units
    """
    check_features(real=train, synthetic=synthetic, at_least=1)
    theirs, ours = in_one_frame(train, synthetic)
    exact = nearest_squared_distance(ours, theirs).sqrt() / ours.frame.scale
    return exact[ours.inverse]


def nearest_distance(*, train: Tensor, synthetic: Tensor) -> tuple[float, float]:
    """Return the mean of `nearest_distances` and its standard error."""
    each = nearest_distances(train=train, synthetic=synthetic)
    spread = float(each.std() / len(each) ** 0.5) if len(each) > 1 else float("nan")
    return float(each.mean()), spread


def nearest_samples(*, train: Tensor, synthetic: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k nearest real training samples of each synthetic one, nearest first: a few samples, for the eye.

    index int64 [M, k'] into `train`, distance float64 [M, k'], k' = min(k, N); of equal ones the lower index first.
    """
    check_features(real=train, synthetic=synthetic, at_least=1)
    centre = train.mean(0)
    rough = torch.cdist(synthetic - centre, train - centre)
    likely = rough.topk(min(len(train), k + SPARE), largest=False).indices.sort(1).values
    exact = (synthetic[:, None].double() - train[likely].double()).norm(dim=2)
    order = exact.argsort(dim=1, stable=True)[:, :k]
    return likely.gather(1, order), exact.gather(1, order)


def duplicate_share(*, train: Tensor, synthetic: Tensor) -> tuple[float, float]:
    """Return the share of synthetic samples equal to some training sample, byte for byte, and its standard error.

    train, synthetic  data of one shape and dtype, [N, ...] and [M, ...]
    """
    if not len(synthetic):
        raise Undefined("there are no synthetic samples")
    share = float(np.isin(_rows_as_bytes(synthetic), _rows_as_bytes(train)).mean())
    return share, (share * (1 - share) / len(synthetic)) ** 0.5


def _rows_as_bytes(data: Tensor) -> Any:
    """View each row as one opaque value that numpy compares by its bytes, [N]."""
    flat = np.ascontiguousarray(data.reshape(len(data), -1).numpy()).view(np.uint8)
    return flat.view(f"V{flat.shape[1]}").ravel()
