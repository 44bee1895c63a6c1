"""Dropout for networks that have none of their own: it acts in training and is never saved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaMLP

DROPPED = (nn.Embedding, LlamaAttention, LlamaMLP)
"""Layers whose output is dropped in part: all that add to the residual stream."""


@contextmanager
def dropout(network: nn.Module, rate: float) -> Iterator[None]:
    """Drop a share `rate` of what each layer adds, while a network is in training.

    As GPT-2 does it (`resid_pdrop`, `embd_pdrop`).
    """
    hooks = []
    if rate:
        for module in network.modules():
            if isinstance(module, DROPPED):
                hooks.append(module.register_forward_hook(partial(_drop, rate)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _drop(rate: float, module: nn.Module, _: Any, output: Any) -> Any:
    if not module.training:
        return output
    if isinstance(output, Tensor):
        return nn.functional.dropout(output, rate)

    # Attention returns its weights beside its output.
    first, *others = output
    return nn.functional.dropout(first, rate), *others
