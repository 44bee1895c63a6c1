"""Moving the weights of a network away from those of another one."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from imglab.training.folders import layout

Network = TypeVar("Network", bound=nn.Module)


def moved_network(network: Network, other: nn.Module, w: float) -> Network:
    """Return a new network with the weights (1 + w) `network` - w `other`, in the same dtypes.

    What is no float, such as a counter, stays as it is in `network`. Raises ValueError where the
    two have different layers.
    """
    moved = copy.deepcopy(network)
    moved.load_state_dict(moved_tensors(network.state_dict(), other.state_dict(), w))
    return moved


def moved_tensors(
    tensors: Mapping[str, Tensor], others: Mapping[str, Tensor], w: float
) -> dict[str, Tensor]:
    """Return (1 + w) `tensors` - w `others`, by name; ValueError where their layouts differ."""
    expected = layout(tensors)
    different = layout(others)
    for name in {**expected, **different}:
        if expected.get(name) != different.get(name):
            what = f"{name} is {different.get(name)}, expected {expected.get(name)}"
            raise ValueError(f"architecture differs: {what}")

    moved = {}
    for name, tensor in tensors.items():
        moved[name] = tensor
        if tensor.is_floating_point():
            step = tensor.double() - others[name].to(tensor.device).double()
            moved[name] = (tensor.double() + w * step).to(tensor.dtype)
    return moved


def joined_training(training: Mapping[str, Any], further: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is said of a fit, with the samples that a further fit beside it has seen."""
    seen = training.get("samples_seen", 0) + further.get("samples_seen", 0)
    return {**training, "samples_seen": seen}


def weighted_mean(losses: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean of losses [N, ...], each row times its weight [N]; None: all are 1."""
    if weights is None:
        return losses.mean()
    by_row = losses.flatten(1).mean(1) if losses.dim() > 1 else losses
    return torch.dot(by_row, weights.to(by_row.dtype)) / len(weights)
