"""Autoencoders between images and what a network works on, and the networks that work there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from imglab.images.diffusion import PixelDenoiser

NAME = "model.name"
"""The key that names a pipeline."""


class Latents:
    """An autoencoder between images and what a network works on."""

    def __init__(self, autoencoder: Any) -> None:
        config = autoencoder.config
        self._autoencoder = autoencoder
        self._scale = config.scaling_factor
        self._shift = getattr(config, "shift_factor", None) or 0.0
        self.times_smaller = 2 ** (len(config.block_out_channels) - 1)

    def encode(self, images: Tensor, noise: Tensor) -> Tensor:
        """Return float32 latents of images in [-1, 1]; `noise` picks one where the code is random."""
        with self._without_overflow():
            found = self._autoencoder.encode(images.to(self._autoencoder.dtype))
        if hasattr(found, "latents"):
            latents = found.latents
        else:
            latents = found.latent_dist.mean + found.latent_dist.std * noise.to(
                found.latent_dist.std.dtype
            )
        scaled: Tensor = (latents.float() - self._shift) * self._scale
        return scaled

    @contextmanager
    def _without_overflow(self) -> Iterator[None]:
        """Work in fp32 where an autoencoder in fp16 says that it must (`force_upcast`, Stable Diffusion XL's)."""
        half = self._autoencoder.dtype == torch.float16 and getattr(
            self._autoencoder.config, "force_upcast", False
        )
        if half:
            self._autoencoder.float()
        try:
            yield
        finally:
            if half:
                self._autoencoder.half()

    def decode(self, latents: Tensor) -> Tensor:
        """Return images in [-1, 1]."""
        wanted = (latents / self._scale + self._shift).to(self._autoencoder.dtype)
        images: Tensor = self._autoencoder.decode(wanted).sample
        return images.float()


class LatentDenoiser(PixelDenoiser):
    """A UNet that works on an autoencoder's latents (Rombach et al. 2022)."""

    def __init__(self, latents: Latents, *given: Any, **keys: Any) -> None:
        super().__init__(*given, **keys)
        self._latents = latents

    def encode(self, images: Tensor, noise: Tensor) -> Tensor:  # noqa: D102
        return self._latents.encode(images, noise)

    def decode(self, found: Tensor) -> Tensor:  # noqa: D102
        return self._latents.decode(found)
