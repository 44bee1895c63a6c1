"""The small networks behind extractors and judges, and how their features are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from imglab.training.devices import device

BATCH = 128

STAGES = ((16, 1), (32, 2), (64, 2), (64, 1))
"""Channels and stride of each stage of the standard network."""


@dataclass(frozen=True)
class Architecture:
    """A network that turns images in [-1, 1] into outputs, and has an embedding on the way.

    build  makes it with new weights, given the numbers of channels and of outputs
    embed  returns the embedding of a batch, float32 [N, D]
    """

    build: Callable[[int, int], nn.Module]
    embed: Callable[[nn.Module, Tensor], Tensor]


class StandardNetwork(nn.Module):
    """Four convolutions with batch normalization, and a linear head over the last one's means.

    Batch normalization, unlike one within each image, leaves it visible how much contrast an image
    has, and the weights need not grow to make up for faint input.
    """

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        for width, stride in STAGES:
            convolution = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
            stage = nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())
            self.stages.append(stage)
            channels = width
        self.head = nn.Linear(channels, outputs)

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the output of each stage, float32 [N, C_i, H_i, W_i]."""
        outputs = []
        for stage in self.stages:
            images = stage(images)
            outputs.append(images)
        return outputs

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs of the head, float32 [N, outputs]."""
        logits: Tensor = self.head(self.maps(images)[-1].mean((2, 3)))
        return logits


def small_network(channels: int, classes: int) -> nn.Sequential:
    """Return three convolutions and an embedding of 64 numbers, which is linear.

    There is no normalization, so that the features depend on contrast.
    """
    layers: list[nn.Module] = []
    for inputs, outputs, stride in ((channels, 32, 1), (32, 64, 2), (64, 64, 1)):
        layers += [nn.Conv2d(inputs, outputs, 3, stride, 1), nn.ReLU()]

    layers += [
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(64 * 16, 64),
        nn.ReLU(),
        nn.Linear(64, classes),
    ]
    return nn.Sequential(*layers)


def lenet(channels: int, classes: int) -> nn.Sequential:
    """Return LeNet-5 (LeCun et al. 1998) with an embedding of 84 numbers.

    It has rectifiers and max pooling in place of the original's sigmoids and average pooling.
    """
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=2),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(14),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        # 16 channels of 5 x 5 pixels are left.
        nn.Flatten(),
        nn.Linear(16 * 25, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, classes),
    )


def _before(head: int) -> Callable[[nn.Module, Tensor], Tensor]:
    """Return what embeds with all but the last `head` layers of a sequence."""

    def embed(network: nn.Module, images: Tensor) -> Tensor:
        assert isinstance(network, nn.Sequential)
        embedding: Tensor = network[:-head](images)
        return embedding

    return embed


def _spreads(network: nn.Module, images: Tensor) -> Tensor:
    """Return the standard deviation of each channel of the last stage, float32 [N, 64].

    It is taken over the places of an image. Over known damage to real images, scores of these
    features rank as those of judges of other architectures do, more so than scores of the means,
    of both, of earlier stages, and of whitened features.
    """
    assert isinstance(network, StandardNetwork)
    spreads: Tensor = network.maps(images)[-1].flatten(2).std(2, correction=0)
    return spreads


ARCHITECTURES = {
    "standard": Architecture(StandardNetwork, _spreads),
    "small": Architecture(small_network, _before(2)),
    "lenet": Architecture(lenet, _before(1)),
}


def apply(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Apply a function of images in [-1, 1] to uint8 images, a batch at a time."""
    where = device()
    results = [function(scaled(batch.to(where))).cpu() for batch in images.split(BATCH)]
    return torch.cat(results)


def scaled(images: Tensor) -> Tensor:
    """Return uint8 images as float32 in [-1, 1]."""
    return images.float() / 127.5 - 1
