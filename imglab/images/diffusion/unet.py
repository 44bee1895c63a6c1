"""The UNet of a diffusion model: made from its settings, and what its config says of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from diffusers import UNet2DModel
from pydantic import BaseModel, Field

from imglab.images.settings import DiffusionSettings
from imglab.training.folders import LARGEST_SIZE

Size = Annotated[int, Field(ge=1, le=LARGEST_SIZE)]


def new_unet(
    settings: DiffusionSettings, shape: tuple[int, ...], classes: int | None
) -> UNet2DModel:
    """Return a network with new weights, from the global generator.

    shape    [C, H, W] of the images
    classes  how many there are if the network is class-conditional: it gets one label more
    """
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


class UnetConfig(BaseModel):
    """What the lab reads of the config of a UNet2DModel."""

    sample_size: Size | tuple[Size, Size]
    in_channels: Size

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape [C, H, W] of the images."""
        if isinstance(self.sample_size, int):
            return self.in_channels, self.sample_size, self.sample_size
        height, width = self.sample_size
        return self.in_channels, height, width


def shape_of(unet: UNet2DModel) -> tuple[int, int, int]:
    """Return the shape [C, H, W] of the images that a UNet was made for."""
    return UnetConfig.model_validate(dict(unet.config)).shape


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
