"""FSDP: each process holds a shard of every weight while a network is trained."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from imglab import distributed
from imglab.training.devices import device


def shard_model(network: nn.Module, *, by_block: bool = True) -> nn.Module:
    """Return what is trained in a network's place: itself or, with FSDP, a sharded copy.

    Every process has a shard of each weight, of its gradient, its moments and its average; a
    block of layers is put together while it computes (Zhao et al. 2023, 2304.11277).
    `gather_model` gives the whole network back.

    by_block  False where the network uses parts of its blocks from outside: then it is put
              together as a whole
    """
    if not distributed.is_sharded():
        return network
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    place = device()
    mesh = init_device_mesh(place.type, (distributed.world_size(),))
    sharded: nn.Module = copy.deepcopy(network.cpu()).to(place)
    # FSDP cannot shard a tensor in another memory layout.
    sharded = sharded.to(memory_format=torch.contiguous_format)

    if by_block:
        for block in _blocks(sharded):
            fully_shard(block, mesh=mesh)
    fully_shard(sharded, mesh=mesh)
    return sharded


def gather_model(trained: nn.Module, network: nn.Module) -> nn.Module:
    """Return the network that `shard_model` was given, with the weights that were learned."""
    if trained is network:
        return network

    learned = {**dict(trained.named_parameters()), **dict(trained.named_buffers())}
    with torch.no_grad():
        for name, tensor in (*network.named_parameters(), *network.named_buffers()):
            tensor.copy_(full_tensor(learned[name]))
    return network.to(device())


def full_tensor(tensor: Tensor) -> Tensor:
    """Return the full tensor where this process has a shard of it; all processes must call it."""
    if _is_shard(tensor):
        full: Tensor = tensor.full_tensor()  # type: ignore[attr-defined]
        return full
    return tensor


def fill_tensor(tensor: Tensor, value: Tensor) -> Tensor:
    """Copy a full value into a tensor and return the tensor.

    This process may have a shard of it alone.
    """
    if _is_shard(tensor):
        from torch.distributed.tensor import distribute_tensor

        target: Any = tensor
        value = distribute_tensor(value.to(target.device), target.device_mesh, target.placements)
    return tensor.copy_(value)


def _is_shard(tensor: Tensor) -> bool:
    if not distributed.is_sharded():
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def _blocks(network: nn.Module) -> list[nn.Module]:
    """Return the members of a network's outermost lists of layers."""
    blocks: list[nn.Module] = []
    for child in network.children():
        if isinstance(child, nn.ModuleList):
            blocks += [block for block in child if block is not None]
        else:
            blocks += _blocks(child)
    return blocks
