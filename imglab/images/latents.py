"""Autoencoders between images and what a network works on, and the networks that work there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from imglab.images.diffusion.denoiser import PixelDenoiser

NAME = "model.name"
"""The key that names a pipeline."""


class Latents:
    """An autoencoder between images and what a network works on."""

    def __init__(self, autoencoder: Any) -> None:
        config = autoencoder.config
        self._autoencoder = autoencoder
        self._scale = config.scaling_factor
        self._shift = getattr(config, "shift_factor", None) or 0.0
        self.downsampling = 2 ** (len(config.block_out_channels) - 1)

    def encode(self, images: Tensor, noise: Tensor) -> Tensor:
        """Return float32 latents of images in [-1, 1].

        noise  standard normal, of the latents' shape: picks one where the code is random
        """
        from diffusers.models.autoencoders.vq_model import VQEncoderOutput

        with self._without_overflow():
            encoded = self._autoencoder.encode(images.to(self._autoencoder.dtype))

        if isinstance(encoded, VQEncoderOutput):
            latents = encoded.latents
        else:
            deviation = encoded.latent_dist.std
            latents = encoded.latent_dist.mean + deviation * noise.to(deviation.dtype)
        scaled: Tensor = (latents.float() - self._shift) * self._scale
        return scaled

    @contextmanager
    def _without_overflow(self) -> Iterator[None]:
        """Work in fp32 where an autoencoder in fp16 says that it must.

        That is `force_upcast`, which Stable Diffusion XL's sets.
        """
        forced = getattr(self._autoencoder.config, "force_upcast", False)
        upcast = forced and self._autoencoder.dtype == torch.float16
        if upcast:
            self._autoencoder.float()
        try:
            yield
        finally:
            if upcast:
                self._autoencoder.half()

    def decode(self, latents: Tensor) -> Tensor:
        """Return images in [-1, 1]."""
        unscaled = (latents / self._scale + self._shift).to(self._autoencoder.dtype)
        images: Tensor = self._autoencoder.decode(unscaled).sample
        return images.float()


class LatentDenoiser(PixelDenoiser):
    """A UNet that works on an autoencoder's latents (Rombach et al. 2022)."""

    def __init__(self, latents: Latents, *arguments: Any, **keys: Any) -> None:
        """Take the autoencoder; all else goes to `Denoiser`."""
        super().__init__(*arguments, **keys)
        self._latents = latents

    def encode(self, images: Tensor, noise: Tensor) -> Tensor:  # noqa: D102
        return self._latents.encode(images, noise)

    def decode(self, codes: Tensor) -> Tensor:  # noqa: D102
        return self._latents.decode(codes)
