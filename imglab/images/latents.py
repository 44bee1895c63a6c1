"""Autoencoders between images and what a network works on, and the networks that work there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from imglab.images.diffusion.denoiser import PixelDenoiser
from imglab.metrics.rows import hash_rows

NAME = "model.name"
"""The key that names a pipeline."""

ROOM = 2**31
"""Bytes of codes that are kept for images that a fit sees again."""


class Latents:
    """An autoencoder between images and what a network works on.

    It lives as long as a fit, in which the autoencoder does not change, so an image that comes
    again is not encoded again.
    """

    def __init__(self, autoencoder: Any) -> None:
        config = autoencoder.config
        self._autoencoder = autoencoder
        self._scale = config.scaling_factor
        self._shift = getattr(config, "shift_factor", None) or 0.0
        self._codes: dict[int, Tensor] = {}
        self.downsampling = 2 ** (len(config.block_out_channels) - 1)

    def encode(self, images: Tensor, noise: Tensor) -> Tensor:
        """Return float32 latents of images in [-1, 1].

        noise  standard normal, of the latents' shape: picks one where the code is random
        """
        parts = self._encoded_once(images)
        latents = parts[:, 0]
        if parts.shape[1] == 2:
            latents = latents + parts[:, 1] * noise.to(parts.dtype)
        scaled: Tensor = (latents.float() - self._shift) * self._scale
        return scaled

    def _encoded_once(self, images: Tensor) -> Tensor:
        """Return what `_encoded` does, which is kept for images that come again, up to `ROOM`.

        A batch is encoded as a whole as soon as one of its images is new, so that an image is
        always encoded among as many others.
        """
        hashes = hash_rows(images.cpu()).tolist()
        if all(each in self._codes for each in hashes):
            return torch.stack([self._codes[each] for each in hashes]).to(images.device)

        encoded = self._encoded(images)
        size = encoded[0].numel() * encoded.element_size()
        for each, code in zip(hashes, encoded.cpu(), strict=True):
            if each not in self._codes and (len(self._codes) + 1) * size <= ROOM:
                self._codes[each] = code.clone()
        return encoded

    def _encoded(self, images: Tensor) -> Tensor:
        """Return the code of each image, [N, 1, ...], or its mean and deviation, [N, 2, ...]."""
        from diffusers.models.autoencoders.vq_model import VQEncoderOutput

        with self._without_overflow():
            encoded = self._autoencoder.encode(images.to(self._autoencoder.dtype))

        if isinstance(encoded, VQEncoderOutput):
            codes: Tensor = encoded.latents
            return codes[:, None]
        return torch.stack([encoded.latent_dist.mean, encoded.latent_dist.std], 1)

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
