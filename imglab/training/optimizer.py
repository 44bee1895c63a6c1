"""The optimisers: AdamW for all weights, or Muon for the matrices of the hidden layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from imglab import distributed
from imglab.errors import InputError, Problem
from imglab.training.muon import SCALED, new_matrix_steps
from imglab.training.recipe import Recipe

FUSED = ("cpu", "cuda")
"""Devices for which torch has a fused AdamW."""

NOT_SHARDED = Problem(
    "model.training.optimizer",
    "Muon needs whole matrices, and FSDP shards them",
    "use adamw, or processes without FSDP",
)


class MuonWithAdamW(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024) for matrices, AdamW for all other weights, as one optimiser.

    A convolution's weight [C, c, h, w] counts as a matrix [C, c h w]. Muon's steps are scaled to
    the root mean square that those of AdamW have (Liu et al. 2025, 2502.16982), so that both take
    the same learning rate.
    """

    def __init__(
        self,
        matrices: list[nn.Parameter],
        others: list[nn.Parameter],
        device: torch.device,
        *,
        lr: float,
        weight_decay: float,
        fused: bool,
    ) -> None:
        keys: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay}
        self._matrices = matrices
        self._muon = new_matrix_steps(matrices, device, keys)
        self._adamw = torch.optim.AdamW(others, fused=fused, **keys)
        super().__init__([{**keys, "params": self._muon.parameters}, *self._adamw.param_groups], {})
        self._share()

    def step(self, closure: Any = None) -> Any:
        """Take one step with each of the two."""
        loss = self._adamw.step(closure)
        self._muon.step(self.param_groups[0])
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, those of the matrices too."""
        super().zero_grad(set_to_none)
        for weight in self._matrices:
            weight.grad = None

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take back what `state_dict` returned."""
        super().load_state_dict(dict(state_dict))
        self._share()

    def _share(self) -> None:
        """Let both work on the groups and the moments of the whole."""
        self._adamw.param_groups = [self.param_groups[1]]
        self._adamw.state = self.state
        self._muon.share(self.state)


def new_optimizer(
    network: nn.Module, weights: Mapping[str, nn.Parameter], recipe: Recipe, device: torch.device
) -> torch.optim.Optimizer:
    """Return the optimiser of a recipe for the trained weights of a network.

    Raises InputError for Muon with FSDP.
    """
    hidden: set[str] = set()
    if recipe.optimizer == "muon":
        if distributed.is_sharded():
            raise InputError(NOT_SHARDED)
        hidden = hidden_matrices(network)

    fused = device.type in FUSED
    matrices = [weight for name, weight in weights.items() if name in hidden]
    others = [weight for name, weight in weights.items() if name not in hidden]
    keys: dict[str, Any] = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}

    # Adapters come without other weights. Those of convolutions are left to AdamW then.
    if not others:
        others = [weight for weight in matrices if weight.ndim > 2]
        matrices = [weight for weight in matrices if weight.ndim == 2]
    if not matrices:
        return torch.optim.AdamW(others, fused=fused, **keys)
    if not others:
        return torch.optim.Muon(matrices, adjust_lr_fn=SCALED, **keys)
    return MuonWithAdamW(matrices, others, device, fused=fused, **keys)


def hidden_matrices(network: nn.Module) -> set[str]:
    """Return the names of the matrices, and the weights of convolutions, in a network's middle.

    Embeddings, what is tied to them, a convolution that reads the input, and the last weight, which
    makes the output, are not among them: Muon is for the layers in between.
    """
    embeddings: set[Any] = set()
    for layer in network.modules():
        if isinstance(layer, nn.Embedding):
            embeddings.add(layer.weight)

    arrays = {name: each for name, each in network.named_parameters() if each.ndim >= 2}
    output = ""
    if arrays and not _has_tied_output(network, embeddings):
        output = list(arrays)[-1]

    names = set()
    for place, (name, weight) in enumerate(arrays.items()):
        is_hidden = weight.ndim == 2 or (weight.ndim == 4 and place > 0)
        if is_hidden and weight not in embeddings and name != output:
            names.add(name)
    return names


def _has_tied_output(network: nn.Module, embeddings: set[Any]) -> bool:
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    return any(layer.weight in embeddings for layer in layers)
