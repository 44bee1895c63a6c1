"""The network of a diffusion model: made from its settings, and what its config says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from imglab import seeds
from imglab.errors import Problem
from imglab.images.diffusion.denoiser import PatchDenoiser, PixelDenoiser
from imglab.images.diffusion.noising import Noising
from imglab.images.diffusion.settings import DiffusionSettings, DitSettings
from imglab.training.devices import device
from imglab.training.folders import LARGEST_SIZE, fill_network, read_object

if TYPE_CHECKING:
    from diffusers import DiTTransformer2DModel, ModelMixin, UNet2DModel

Size = Annotated[int, Field(ge=1, le=LARGEST_SIZE)]


def new_network(
    settings: DiffusionSettings, shape: tuple[int, ...], classes: int | None
) -> ModelMixin:
    """Return a network with new weights, from the global generator.

    shape    [C, H, W] of the images
    classes  how many there are if the network is class-conditional: it gets one label more
    """
    shape = in_patches(shape, settings.patch)
    if isinstance(settings.network, DitSettings):
        return _new_dit(settings.network, shape, classes)
    return _new_unet(settings, shape, classes)


def empty_network(
    settings: DiffusionSettings, shape: tuple[int, ...], classes: int | None
) -> ModelMixin:
    """Return a network whose weights are to be filled in; without memory where that is possible."""
    # Where its tokens lie is no weight of a transformer, and is not saved.
    place = "meta"
    if isinstance(settings.network, DitSettings):
        place = "cpu"
    with seeds.isolated("weights"), torch.device(place):
        return new_network(settings, shape, classes)


def in_patches(shape: tuple[int, ...], patch: int) -> tuple[int, int, int]:
    """Return the shape [C, H, W] of an image whose squares of pixels are channels of one."""
    channels, height, width = shape
    return channels * patch**2, height // patch, width // patch


def of_patches(shape: tuple[int, int, int], patch: int) -> tuple[int, int, int]:
    """Return the shape [C, H, W] of the image that `in_patches` gives this shape."""
    channels, height, width = shape
    return channels // patch**2, height * patch, width * patch


def part_of(settings: DiffusionSettings) -> str:
    """Return the name of the folder in which diffusers' pipelines keep such a network."""
    if isinstance(settings.network, DitSettings):
        return "transformer"
    return "unet"


def size_problems(settings: DiffusionSettings, shape: tuple[int, ...]) -> Iterator[Problem]:
    """Yield the problems of a network for images of this shape."""
    _, height, width = shape
    size = f"{width} x {height}"
    patch = settings.patch
    if height % patch or width % patch:
        what = f"squares of {patch} x {patch} pixels do not fill an image of {size}"
        yield Problem("model.patch", what, "choose a divisor of both sides")
        return

    if isinstance(settings.network, DitSettings):
        if height != width:
            what = f"a transformer draws square images, not {size}"
            yield Problem("model.network", what, "use network: unet")
        return

    levels = len(settings.channels)
    factor = 2 ** (levels - 1)
    if height // patch % factor or width // patch % factor:
        of_patches = f" in squares of {patch} pixels" if patch > 1 else ""
        what = f"{levels} levels halve the image {levels - 1} times, but it is {size}{of_patches}"
        remedy = f"use fewer levels, or a modality.size that {factor * patch} divides"
        yield Problem("model.channels", what, remedy)


def _new_unet(
    settings: DiffusionSettings, shape: tuple[int, int, int], classes: int | None
) -> UNet2DModel:
    from diffusers import UNet2DModel

    channels, height, width = shape
    levels = len(settings.channels)
    down = ["DownBlock2D"] * levels
    up = ["UpBlock2D"] * levels
    if settings.attention:
        down[-1] = "AttnDownBlock2D"
        up[0] = "AttnUpBlock2D"

    return UNet2DModel(
        sample_size=height if height == width else [height, width],
        in_channels=channels,
        out_channels=channels,
        block_out_channels=tuple(settings.channels),
        layers_per_block=settings.layers_per_block,
        down_block_types=tuple(down),
        up_block_types=tuple(up),
        add_attention=settings.attention,
        norm_num_groups=8,
        num_class_embeds=None if classes is None else classes + 1,
    )


def _new_dit(
    settings: DitSettings, shape: tuple[int, int, int], classes: int | None
) -> DiTTransformer2DModel:
    from diffusers import DiTTransformer2DModel

    channels, side, _ = shape
    return DiTTransformer2DModel(
        num_attention_heads=settings.heads,
        attention_head_dim=settings.width // settings.heads,
        in_channels=channels,
        num_layers=settings.layers,
        sample_size=side,
        patch_size=1,
        # A label more than these stands for none.
        num_embeds_ada_norm=classes or 1,
    )


class PixelDit(PatchDenoiser):
    """A transformer that works on pixels or patches; without classes it reads label 0."""

    # Its end uses the embedding of labels that lies in its first block.
    shard_blocks = False

    def predict(  # noqa: D102
        self, network: nn.Module, noisy: Tensor, times: Tensor, labels: Tensor | None
    ) -> Tensor:
        if labels is None:
            labels = torch.zeros(len(noisy), dtype=torch.int64, device=noisy.device)
        return super().predict(network, noisy, times, labels)


def denoiser_around(
    network: ModelMixin, settings: DiffusionSettings, noising: Noising, classes: int | None
) -> PixelDenoiser:
    """Return the denoiser of a network that `new_network` made."""
    from diffusers import DiTTransformer2DModel

    # The network has one label more than there are classes.
    labels: dict[str, Any] = {"conditional": classes is not None, "null_label": classes}
    shape = shape_of(network)
    if isinstance(network, DiTTransformer2DModel):
        hide_no_labels(network)
        return PixelDit(settings.patch, network, noising, shape, **labels)
    if settings.patch > 1:
        return PatchDenoiser(settings.patch, network, noising, shape, **labels)
    return PixelDenoiser(network, noising, shape, **labels)


def hide_no_labels(network: nn.Module) -> None:
    """Keep a transformer from hiding labels: `label_dropout` does, from a generator of the lab."""
    from diffusers.models.embeddings import LabelEmbedding

    for part in network.modules():
        if isinstance(part, LabelEmbedding):
            part.dropout_prob = 0.0


class NetworkConfig(BaseModel):
    """What the lab reads of the config of a network of diffusers."""

    sample_size: Size | tuple[Size, Size]
    in_channels: Size

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape [C, H, W] of what the network works on."""
        if isinstance(self.sample_size, int):
            return self.in_channels, self.sample_size, self.sample_size
        height, width = self.sample_size
        return self.in_channels, height, width


def shape_of(network: ModelMixin) -> tuple[int, int, int]:
    """Return the shape [C, H, W] of the images, or patches of them, that a network works on."""
    return NetworkConfig.model_validate(dict(network.config)).shape


def plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config of diffusers as it is read back from JSON, with lists in place of tuples."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(config)))
    return plain


def config_differences(expected: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """Return how a network's config differs from the expected one, a sentence for each key."""
    different = []
    for key, value in expected.items():
        if not key.startswith("_") and config.get(key) != value:
            different.append(f"{key} is {config.get(key)}, expected {value}")
    return different


def open_network(settings: DiffusionSettings, classes: int | None, folder: Path) -> ModelMixin:
    """Open the network in a folder; ValueError if it is not the one of these settings."""
    from diffusers.utils import SAFETENSORS_WEIGHTS_NAME

    saved = read_object(folder / "config.json", str(folder))
    shape = of_patches(NetworkConfig.model_validate(saved).shape, settings.patch)

    # Not `from_pretrained`: it would record the path in the config, and so in the next save.
    network = empty_network(settings, shape, classes)
    different = config_differences(saved, plain_config(network.config))
    if different:
        raise ValueError(f"its network differs from its settings: {different[0]}")
    return fill_network(network, folder / SAFETENSORS_WEIGHTS_NAME).to(device())
