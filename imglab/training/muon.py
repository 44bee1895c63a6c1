"""Muon's steps for the matrices of a network: in threads on a CPU, recorded on a GPU."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from imglab import distributed
from imglab.training.graphs import RecordedWork
from imglab.training.threads import Threads

SCALED = "match_rms_adamw"
"""How torch calls Muon's steps of the size of AdamW's (Liu et al. 2025, 2502.16982)."""


class MatrixSteps(Protocol):
    """Takes Muon's steps for some weights.

    parameters  what an optimiser's group and the state of a checkpoint name: one for each weight
    """

    parameters: list[nn.Parameter]

    def step(self, group: MutableMapping[str, Any]) -> None:
        """Move the weights along their gradients, by the learning rate and decay of a group."""
        ...

    def share(self, state: Any) -> None:
        """Keep the moments in this state, by parameter, from here on."""
        ...


def new_matrix_steps(
    weights: Sequence[nn.Parameter], device: torch.device, keys: MutableMapping[str, Any]
) -> MatrixSteps:
    """Return what takes Muon's steps for matrices and convolutions on a device.

    keys  learning rate and decay, as torch's optimisers call them
    """
    if device.type == "cuda" and distributed.world_size() == 1:
        return RecordedMuon(weights, device)
    return ThreadedMuon(weights, device, keys)


class ThreadedMuon:
    """Muon's steps on a CPU, where each matrix is one thread's."""

    def __init__(
        self,
        weights: Sequence[nn.Parameter],
        device: torch.device,
        keys: MutableMapping[str, Any],
    ) -> None:
        flat, self._convolutions = _by_kind(weights)
        # torch's Muon takes matrices alone: it sees a convolution's weight as one.
        self._views = [nn.Parameter(as_matrix(weight, weight)) for weight in self._convolutions]
        self.parameters = [*flat, *self._views]
        self._threads = Threads(device)
        shares = _equal_shares(self.parameters, len(self._threads))
        self._muons = [torch.optim.Muon(share, adjust_lr_fn=SCALED, **keys) for share in shares]

    def step(self, group: MutableMapping[str, Any]) -> None:
        """Move the weights along their gradients, by the learning rate and decay of a group."""
        for weight, view in zip(self._convolutions, self._views, strict=True):
            # The weight may have moved since: to another device, for one.
            view.data = as_matrix(weight, weight)
            view.grad = None
            if weight.grad is not None:
                view.grad = as_matrix(weight.grad, weight)
        for muon in self._muons:
            [own_group] = muon.param_groups
            own_group.update({key: group[key] for key in ("lr", "weight_decay")})
        self._threads.map(torch.optim.Muon.step, self._muons)

    def share(self, state: Any) -> None:
        """Keep the moments in this state, by parameter, from here on."""
        for muon in self._muons:
            muon.state = state


class RecordedMuon:
    """Muon's steps on a GPU, which records them once and replays them.

    A step of torch's Muon is thirty short operations for each matrix, one after the other, and the
    GPU waits for Python to ask for every one. A recording cannot change its learning rate. So
    torch's Muon moves stand-ins of the weights, from zero and at a learning rate of one; where they
    end is the direction in which the weights then move, all in one operation. It needs memory for
    the stand-ins and for a copy of the gradients.
    """

    def __init__(self, weights: Sequence[nn.Parameter], device: torch.device) -> None:
        flat, convolutions = _by_kind(weights)
        self._weights = [*flat, *convolutions]
        self._gradients: list[Tensor] = []
        self.parameters = []
        for weight in self._weights:
            matrix = torch.zeros_like(as_matrix(weight, weight), device=device)
            self._gradients.append(matrix)
            self.parameters.append(nn.Parameter(matrix.clone()))
        self._muon = torch.optim.Muon(self.parameters, 1.0, 0.0, adjust_lr_fn=SCALED)
        self._recorded = RecordedWork()

    def step(self, group: MutableMapping[str, Any]) -> None:
        """Move the weights along their gradients, by the learning rate and decay of a group."""
        moved = [at for at, weight in enumerate(self._weights) if weight.grad is not None]
        for stand_in in self.parameters:
            stand_in.grad = None
        for at in moved:
            self.parameters[at].grad = self._gradients[at]
        if not moved:
            return

        weights = [self._weights[at] for at in moved]
        gradients = [
            as_matrix(weight.grad, weight) for weight in weights if weight.grad is not None
        ]
        torch._foreach_copy_([self._gradients[at] for at in moved], gradients)
        if len(moved) == len(self._weights):
            self._recorded(self._find_directions)
        else:
            self._find_directions()

        matrices = [as_matrix(weight, weight) for weight in weights]
        directions = [self.parameters[at].detach() for at in moved]
        torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(matrices, directions, alpha=group["lr"])

    def share(self, state: Any) -> None:
        """Keep the moments in this state, by parameter, from here on."""
        self._muon.state = state
        # What was recorded reads and writes the moments of before.
        self._recorded = RecordedWork()

    def _find_directions(self) -> None:
        """Let torch's Muon move the stand-ins from zero along their gradients."""
        torch._foreach_zero_([stand_in.detach() for stand_in in self.parameters])
        self._muon.step()


def _by_kind(weights: Sequence[nn.Parameter]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return matrices and convolutions: a checkpoint numbers them in this order."""
    flat = [weight for weight in weights if weight.ndim == 2]
    return flat, [weight for weight in weights if weight.ndim > 2]


def _equal_shares(matrices: Sequence[nn.Parameter], most: int) -> list[list[nn.Parameter]]:
    """Return matrices in at most so many shares, whose steps take about the same time each."""
    shares: list[list[nn.Parameter]] = [[] for _ in range(min(most, len(matrices)))]
    products = [0] * len(shares)
    for matrix in sorted(matrices, key=_product, reverse=True):
        least = products.index(min(products))
        shares[least].append(matrix)
        products[least] += _product(matrix)
    return shares


def _product(matrix: Tensor) -> int:
    """Return how many numbers the product of a matrix and its transpose multiplies."""
    return matrix.numel() * min(matrix.shape)


def as_matrix(tensor: Tensor, weight: Tensor) -> Tensor:
    """Return a convolution's weight, or its gradient, [C, c, h, w] as [C, c h w].

    Where the channels of the weight lie last, so do they in the rows, which makes it a view of the
    weight: the order does not matter to Muon.
    """
    tensor = tensor.detach()
    if tensor.ndim == 2:
        return tensor
    if not weight.is_contiguous():
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.flatten(1)
