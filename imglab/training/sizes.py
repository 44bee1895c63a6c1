"""How large a saved network says that it is, compared with the weights that lie in its folder.

A config of a few lines can describe gigabytes. Libraries allocate what it describes, and draw the
weights that the files lack, before they notice.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn

from imglab import seeds
from imglab.config.machine import machine_memory, size_text
from imglab.errors import InputError, Problem
from imglab.training.folders import DAMAGED

LARGEST_RATIO = 4
"""Numbers that a network may have for each one in its files: heads may be new, masks are made."""

ALWAYS_ALLOWED = 1 << 25
"""Numbers that any network may have, whatever lies in its files."""

FP32 = 4


def check_described(folder: Path, where: str, make: Callable[[], nn.Module]) -> None:
    """Raise InputError where a folder describes a much larger network than its weights make.

    where  the config's key that names the folder
    make   makes the network that the folder's config describes; its tensors take no memory
    """
    with torch.device("meta"), seeds.isolated("opened"):
        network = make()
    described = sum(tensor.numel() for tensor in (*network.parameters(), *network.buffers()))
    stored = _stored(folder)
    if described > max(ALWAYS_ALLOWED, LARGEST_RATIO * stored):
        what = (
            f"{str(folder)!r} describes a network of {described:,} numbers, and its files hold "
            f"{stored:,}"
        )
        raise InputError(Problem(where, what, DAMAGED))

    limit = machine_memory()
    if limit is not None and FP32 * described > limit:
        what = (
            f"the network in {str(folder)!r} needs {size_text(FP32 * described)} of memory; the "
            f"machine has {size_text(limit)}"
        )
        raise InputError(Problem(where, what, "name a smaller one"))


def _stored(folder: Path) -> int:
    """Return how many numbers the weights' files in a folder hold, by their headers."""
    numbers = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as weights:
            numbers += sum(prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
    return numbers
