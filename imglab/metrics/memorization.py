"""Has the model copied its training data? Distances to, and exact repeats of, real samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from imglab.metrics.neighbours import nearest_squared_distance
from imglab.metrics.points import in_one_frame
from imglab.metrics.undefined import Undefined, check_features

SPARE = 13
"""Neighbours beyond those asked for whose distances are taken again in float64."""


def nearest_distances(*, train: Tensor, synthetic: Tensor) -> Tensor:
    """Return the distance of each synthetic sample to its nearest real training sample.

    train, synthetic  float features [N, D], [M, D]

    The distances are Euclidean, in feature units, float64 [M].
    """
    check_features(real=train, synthetic=synthetic, at_least=1)
    train_points, points = in_one_frame(train, synthetic)

    distances = nearest_squared_distance(points, train_points).sqrt() / points.frame.scale
    return distances[points.inverse]


def nearest_distance(*, train: Tensor, synthetic: Tensor) -> tuple[float, float]:
    """Return the mean of `nearest_distances` and its standard error; NaN for one sample."""
    distances = nearest_distances(train=train, synthetic=synthetic)

    error = float("nan")
    if len(distances) > 1:
        error = float(distances.std() / len(distances) ** 0.5)
    return float(distances.mean()), error


def nearest_samples(*, train: Tensor, synthetic: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k nearest real training samples of each synthetic one, nearest first.

    It is meant for the few samples that a person looks at. Returns indices into `train`, int64
    [M, k'], and distances, float64 [M, k'], where k' = min(k, N). Of samples at one distance the
    lower index comes first.
    """
    check_features(real=train, synthetic=synthetic, at_least=1)

    # Choose candidates by distances in the features' own precision.
    centre = train.mean(0)
    rough = torch.cdist(synthetic - centre, train - centre)  # [M, N]
    candidates = rough.topk(min(len(train), k + SPARE), largest=False).indices
    candidates = candidates.sort(1).values  # [M, k + SPARE]

    # Order them by distances in float64.
    exact = (synthetic[:, None].double() - train[candidates].double()).norm(dim=2)
    order = exact.argsort(dim=1, stable=True)[:, :k]
    return candidates.gather(1, order), exact.gather(1, order)


def duplicate_share(*, train: Tensor, synthetic: Tensor) -> tuple[float, float]:
    """Return the share of synthetic samples that equal some training sample, byte for byte.

    train, synthetic  data of one shape and dtype, [N, ...] and [M, ...]

    The second value is the share's standard error. Raises `Undefined` without synthetic samples.
    """
    if not len(synthetic):
        raise Undefined("there are no synthetic samples")

    is_copy = np.isin(_rows_as_bytes(synthetic), _rows_as_bytes(train))
    share = float(is_copy.mean())
    return share, (share * (1 - share) / len(synthetic)) ** 0.5


def _rows_as_bytes(data: Tensor) -> Any:
    """View each row as one opaque value that numpy compares by its bytes, [N]."""
    flat = np.ascontiguousarray(data.reshape(len(data), -1).numpy()).view(np.uint8)
    return flat.view(f"V{flat.shape[1]}").ravel()
