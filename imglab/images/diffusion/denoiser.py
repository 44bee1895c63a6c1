"""The contract of a denoiser: what all diffusion models share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from imglab.images.diffusion.noising import Noising
from imglab.images.diffusion.settings import DenoiserSettings


class Denoiser(ABC):
    """A network that predicts noise, in the space that it works in: pixels, or latents.

    network      the part that is trained
    noising      how noise is added in training, and what the network predicts
    shape        of what the network works on, for one image
    conditional  whether the network reads labels
    null_label   the label that stands for no label; None: the network has none
    """

    shard_blocks: ClassVar[bool] = True
    """Whether the network uses its blocks of layers only as a whole (`Recipe.shard_blocks`)."""

    def __init__(
        self,
        network: nn.Module,
        noising: Noising,
        shape: tuple[int, ...],
        *,
        conditional: bool = False,
        null_label: int | None = None,
    ) -> None:
        self.network = network
        self.noising = noising
        self.shape = shape
        self.conditional = conditional
        self.null_label = null_label

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    @abstractmethod
    def encode(self, images: Tensor, noise: Tensor) -> Tensor:
        """Bring images in [-1, 1], float32 [N, C, H, W], into the network's space.

        noise  standard normal, of the shape of the result, for a code that is random
        """

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Bring codes, in the network's space, back to images in [-1, 1]."""

    @abstractmethod
    def predict(
        self, network: nn.Module, noisy: Tensor, times: Tensor, labels: Tensor | None
    ) -> Tensor:
        """Return what a network predicts for noisy codes.

        network  the denoiser's own, perhaps with a wrapper around it
        times    [N], of the noising
        labels   int64 [N], `null_label` among them, where the network is conditional
        """


class PixelDenoiser(Denoiser):
    """A network that works on pixels. A variance that it learned beside the noise is ignored."""

    def encode(self, images: Tensor, noise: Tensor) -> Tensor:  # noqa: D102
        return images

    def decode(self, codes: Tensor) -> Tensor:  # noqa: D102
        return codes

    def predict(  # noqa: D102
        self, network: nn.Module, noisy: Tensor, times: Tensor, labels: Tensor | None
    ) -> Tensor:
        predicted: Tensor = network(noisy, times, class_labels=labels).sample
        return predicted[:, : noisy.shape[1]]


class PatchDenoiser(PixelDenoiser):
    """A network that works on squares of pixels as channels of one pixel (space to depth)."""

    def __init__(self, patch: int, *arguments: Any, **keys: Any) -> None:
        """Take the side of the squares; all else goes to `Denoiser`."""
        super().__init__(*arguments, **keys)
        self._patch = patch

    def encode(self, images: Tensor, noise: Tensor) -> Tensor:
        """Return [N, C * patch^2, H / patch, W / patch] of [N, C, H, W]."""
        return nn.functional.pixel_unshuffle(images, self._patch)

    def decode(self, codes: Tensor) -> Tensor:  # noqa: D102
        return nn.functional.pixel_shuffle(codes, self._patch)


def autocast(settings: DenoiserSettings, device: torch.device) -> Any:
    """Return the context in which a network draws: mixed precision where the settings say so."""
    return torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16")


def memory_format(settings: DenoiserSettings) -> torch.memory_format:
    """Return the memory layout of the images and weights of a network that convolves.

    `auto` and None, where no run has settled them, stand for channels last, which all networks had
    before there was a choice.
    """
    if settings.layout == "nchw":
        return torch.contiguous_format
    return torch.channels_last
