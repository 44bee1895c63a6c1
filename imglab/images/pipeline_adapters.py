"""Adapters of a pipeline's network, stored beside the weights that they were trained around."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers import DiffusionPipeline
from torch import nn

from imglab.config.section import LoraSettings
from imglab.errors import InputError
from imglab.images.pipeline_denoisers import trained_part
from imglab.training.hub import missing_package
from imglab.training.lora import Adapters, add_adapters

FOLDER = "adapters"
"""Folder of a pipeline's model folder that holds adapters, in a folder each: 000, 001 ..."""


@dataclass(frozen=True)
class AdaptedNetwork:
    """A network, and the adapters that were merged into it one after the other.

    base  the network without them, as it is stored
    """

    base: Any
    adapters: tuple[Adapters, ...] = ()

    def after(self, adapters: Adapters) -> AdaptedNetwork:
        """Return what it is once these adapters are merged into it, too."""
        return AdaptedNetwork(self.base, (*self.adapters, adapters))

    def save(self, folder: Path, name: str, revision: str | None) -> None:
        """Write the adapters into the model folder of a pipeline, whose own network is the base.

        name, revision  of the pretrained pipeline
        """
        for number, adapters in enumerate(self.adapters):
            place = folder / FOLDER / f"{number:03d}"
            place.mkdir(parents=True)
            adapters.save(place, name, revision)


def open_adapted(
    pipeline: DiffusionPipeline, lora: LoraSettings | None, folder: Path, count: int
) -> tuple[DiffusionPipeline, AdaptedNetwork]:
    """Merge the adapters in a model folder into the network of its pipeline.

    Return a pipeline with the merged network, and what that consists of. Each is merged in fp32, as
    after its fit, and the sum brought to the dtypes of the pipeline.

    count  how many adapters there are
    Raises ValueError without the settings of `lora`: nobody can say how they are merged.
    """
    if lora is None:
        raise ValueError("adapters without settings of `lora`")
    problems = missing_package("peft", "lora", str(folder), "adapters are opened")
    if problems:
        raise InputError(problems)

    base = getattr(pipeline, trained_part(pipeline))
    adapted = AdaptedNetwork(base)
    network = copy.deepcopy(base)
    for number in range(count):
        place = folder / FOLDER / f"{number:03d}"
        network, adapters = add_adapters(network.float(), lora, place)
        restore_dtypes(network, like=base)
        adapted = adapted.after(adapters)
    return with_network(pipeline, network.eval()), adapted


def restore_dtypes(network: nn.Module, *, like: nn.Module) -> None:
    """Bring each weight to the dtype that it has in `like`."""
    trained = (*network.parameters(), *network.buffers())
    stored = (*like.parameters(), *like.buffers())
    for tensor, before in zip(trained, stored, strict=True):
        tensor.data = tensor.data.to(before.dtype)


def with_network(pipeline: DiffusionPipeline, network: nn.Module) -> DiffusionPipeline:
    """Return the pipeline with another network; all else is shared."""
    changed = copy.copy(pipeline)
    setattr(changed, trained_part(pipeline), network)
    return changed
