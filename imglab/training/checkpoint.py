"""The state of an unfinished fit: weights, their averages, and the optimiser's moments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from imglab import distributed
from imglab.training.sharding import fill_tensor, full_tensor


def fit_state(step: int, weights: Mapping[str, Tensor], optimizer: Any) -> dict[str, Tensor]:
    """Return everything that the rest of a fit depends on; the tensors are not copied.

    Noise and order follow from (seed, step) alone. Where weights are sharded, the main process
    gets the full tensors, put together one after the other; other processes get empty ones.

    step     how many steps have been done
    weights  all tensors that training changes, by name
    """
    state = {f"weights.{name}": tensor.detach() for name, tensor in weights.items()}
    for number, moments in optimizer.state_dict()["state"].items():
        for name, tensor in moments.items():
            state[f"optimizer.{number}.{name}"] = tensor

    if distributed.is_sharded():
        state = {name: _on_main(full_tensor(tensor)) for name, tensor in state.items()}
    return {"step": torch.tensor(step), **state}


def restore_fit(
    state: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    optimizer: Any,
) -> int:
    """Take back what `fit_state` returned; return the number of steps that had been done."""
    with torch.no_grad():
        for name, tensor in weights.items():
            fill_tensor(tensor, state[f"weights.{name}"])

    # The optimiser numbers its weights in the order of its groups.
    trained: list[nn.Parameter] = []
    for group in optimizer.param_groups:
        trained += group["params"]

    moments: dict[int, dict[str, Tensor]] = {number: {} for number, _ in enumerate(trained)}
    for key, tensor in state.items():
        if key.startswith("optimizer."):
            _, number, name = key.split(".")
            moments[int(number)][name] = _moment(tensor, trained[int(number)])
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    return int(state["step"])


def _moment(value: Tensor, weight: nn.Parameter) -> Tensor:
    """Return a moment of a weight, in the weight's memory layout.

    The fused optimiser walks through memory: moments must lie as their weights do.
    """
    if value.shape == weight.shape:
        return fill_tensor(torch.empty_like(weight.detach()), value)
    return torch.empty_like(value).copy_(value)


def _on_main(tensor: Tensor) -> Tensor:
    """Return a tensor's values in the main process, and an empty tensor in the others."""
    if distributed.is_main():
        return tensor.cpu()
    return tensor.new_empty(0)
