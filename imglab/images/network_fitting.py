"""How the small networks behind extractors are trained, stored and opened again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from imglab.images.features import HASH_LENGTH
from imglab.progress import report
from imglab.store import files
from imglab.training.devices import device

BATCH = 128
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-2

Loss = Callable[[nn.Module, int], Tensor]
"""Returns the loss of a network on the batch of a step."""


def fit(network: nn.Module, loss_of: Loss, *, steps: int) -> None:
    """Train with AdamW and a learning rate that falls linearly to 0."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for step in range(steps):
        loss = loss_of(network, step)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        report("extractor", step + 1, steps)


def fitted_once(network: nn.Module, path: Path, train: Callable[[nn.Module], None]) -> str:
    """Train a network unless the file `path` holds its weights; return their hash.

    Afterwards the network has the weights of the file, is on the device and no longer trains.
    """
    if not path.exists():
        train(network.to(device()))
        network.cpu()
        files.write_atomically(path, lambda temporary: save_file(network.state_dict(), temporary))

    network.load_state_dict(load_file(path))
    network.eval().to(device())
    return files.sha256_file(path)[:HASH_LENGTH]
