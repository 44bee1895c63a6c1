"""Gradients of which several threads compute each a part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from imglab.training.threads import Threads


def add_gradients(
    threads: Threads,
    weights: Iterable[nn.Parameter],
    loss_of: Callable[[range], Tensor],
    shares: Sequence[range],
) -> float:
    """Add the gradients of the losses of some rows to those of the weights; return their sum.

    They are added up in the order of the shares, whichever thread is the first.

    loss_of  returns the loss of a share, a scalar: what they all add up to is what counts
    """
    trained = list(weights)

    def differentiated(share: range) -> tuple[float, Sequence[Tensor | None]]:
        loss = loss_of(share)
        return float(loss.detach()), torch.autograd.grad(loss, trained, allow_unused=True)

    total = 0.0
    sums = [weight.grad for weight in trained]
    for loss, gradients in threads.map(differentiated, shares):
        total += loss
        sums = [_sum(pair) for pair in zip(sums, gradients, strict=True)]
    for weight, gradient in zip(trained, sums, strict=True):
        weight.grad = gradient
    return total


def _sum(pair: tuple[Tensor | None, Tensor | None]) -> Tensor | None:
    """Return the sum of what there is, in memory of its own: two weights may have one gradient."""
    one, two = pair
    if two is None:
        return one
    if one is None:
        return two.clone()
    return one + two


def has_batch_norm(network: nn.Module) -> bool:
    """Say whether what a network makes of a row depends on the others of its batch."""
    return any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in network.modules())
