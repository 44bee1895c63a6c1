"""An autoencoder works once for each image of a fit."""

from types import SimpleNamespace

import torch

from imglab.images import latents
from imglab.images.latents import Latents


class Halving:
    """An autoencoder whose codes are every second pixel, and which counts what it encodes."""

    dtype = torch.float32
    config = SimpleNamespace(scaling_factor=2.0, block_out_channels=(1, 1))

    def __init__(self):
        self.encoded = 0

    def encode(self, images):
        self.encoded += len(images)
        mean = images[:, :, ::2, ::2]
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=mean, std=mean.abs() + 1))


def images(n):
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(n))


def test_images_that_come_again_are_not_encoded_again():
    autoencoder = Halving()
    encoder = Latents(autoencoder)
    batch = images(4)
    noise = torch.randn(2, 4, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    first = encoder.encode(batch, noise[0])
    again = encoder.encode(batch.flip(0), noise[1])
    assert autoencoder.encoded == 4

    mean = batch[:, :, ::2, ::2]
    torch.testing.assert_close(first, 2 * (mean + (mean.abs() + 1) * noise[0]), rtol=0, atol=0)
    mean = mean.flip(0)
    torch.testing.assert_close(again, 2 * (mean + (mean.abs() + 1) * noise[1]), rtol=0, atol=0)


def test_a_new_image_is_encoded_among_as_many_others(monkeypatch):
    autoencoder = Halving()
    encoder = Latents(autoencoder)
    batch = images(4)
    noise = torch.zeros(4, 3, 4, 4)
    encoder.encode(batch, noise)
    encoder.encode(torch.cat([batch[:3], images(1)]), noise)
    assert autoencoder.encoded == 8

    monkeypatch.setattr(latents, "ROOM", 0)
    without_room = Latents(autoencoder)
    for _ in range(2):
        without_room.encode(batch, noise)
    assert autoencoder.encoded == 16
