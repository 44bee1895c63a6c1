"""Where networks are trained, and how accelerate joins the processes that train one together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from imglab import distributed

if TYPE_CHECKING:
    from accelerate import Accelerator


def new_accelerator() -> Accelerator:
    """Return what places networks on devices and joins processes.

    It leaves precision alone: a recipe says in which precision a loss is computed.
    """
    from accelerate import Accelerator

    return Accelerator(mixed_precision="no")


def device() -> torch.device:
    """Return the device on which networks are trained and drawn from."""
    place: torch.device = new_accelerator().device
    return place


def layout_of(place: torch.device, *, bf16: bool) -> str:
    """Return the memory layout in which a kind of device convolves fastest in a precision.

    A rule, not a measurement, so that a config gives the same bytes on every device of a kind.
    On a CPU nchw is faster in bf16, 1.2 to 1.45 times, and channels_last in fp32, 1.04 to 1.14
    times; on one H200 nchw is in both, up to 1.3 times (docs/diffusion.md).
    """
    if place.type == "cuda" or (place.type == "cpu" and bf16):
        return "nchw"
    return "channels_last"


def join_processes(
    accelerator: Accelerator, network: nn.Module, optimizer: Any
) -> tuple[nn.Module, Any]:
    """Return network and optimiser, ready to train.

    Where several processes hold whole networks, they share their gradients from here on.
    """
    if distributed.world_size() == 1 or distributed.is_sharded():
        return network.to(accelerator.device), optimizer
    joined: tuple[nn.Module, Any] = accelerator.prepare(network, optimizer)
    return joined


def unwrap(accelerator: Accelerator, network: nn.Module) -> nn.Module:
    """Return the network that `join_processes` was given, without any wrapper around it."""
    unwrapped: nn.Module = accelerator.unwrap_model(network, keep_torch_compile=False)
    return unwrapped


def forget_compiled(network: nn.Module) -> None:
    """Undo `Module.compile`: a compiled network cannot be copied."""
    network._compiled_call_impl = None
