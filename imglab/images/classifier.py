"""A small classifier, trained on the labels of the real images: an extractor, a judge, a counter.

Its embedding gives the features, its probabilities judge samples, and its predictions count how
many samples belong to each class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from imglab import seeds
from imglab.images.extractor_settings import ClassifierSettings
from imglab.images.features import HASH_LENGTH
from imglab.images.labelled import LabelledImages
from imglab.modality import Extractor
from imglab.samples import Samples
from imglab.store import files
from imglab.training.devices import device

BATCH = 128
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-2

# What the classifier learns to overlook, each at most:
TURN = 0.17
"""Rotation in radians."""
SCALE = 0.1
"""Enlargement or reduction, as a share of the image's size."""
SHIFT = 0.5
"""Shift in pixels along each axis."""
NOISE = 0.4
"""Standard deviation of the noise on images in [-1, 1]."""


class Classifier(Extractor):
    """A small convolutional network trained on the real labels; its embedding is the feature.

    Deterministic: the same images, settings and thread count give the same weights.
    """

    def __init__(self, settings: ClassifierSettings, classes: int) -> None:
        self._settings = settings
        self._architecture = ARCHITECTURES[settings.network]
        self._classes = classes
        self._network: nn.Sequential | None = None
        self._hash = ""

    @property
    def name(self) -> str:
        """`classifier@` and the first digits of the weights' sha256."""
        return f"classifier@{self._hash}"

    def prepare(self, real: LabelledImages, shared: Path) -> None:
        """Train on the real training set, once, and store the weights.

        The file in the folder `shared` is `classifier.safetensors`.
        """
        path = shared / "classifier.safetensors"
        with seeds.isolated(self._settings.seed, "classifier", "weights"):
            network = self._architecture.build(real.images.shape[1], self._classes)

        if not path.exists():
            _train(network.to(device()), real, self._settings)
            network.cpu()
            files.write_atomically(
                path, lambda temporary: save_file(network.state_dict(), temporary)
            )

        network.load_state_dict(load_file(path))
        self._network = network.eval().to(device())
        self._hash = files.sha256_file(path)[:HASH_LENGTH]

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """Return the embeddings, float32 [N, 64]; of `lenet` [N, 84]."""
        embedding = self._fitted[: -self._architecture.head]
        return _apply(embedding, images)

    @torch.inference_mode()
    def probabilities(self, images: Tensor) -> Tensor:
        """Return the probability of each class, float32 [N, classes]."""
        network = self._fitted
        return _apply(lambda batch: network(batch).softmax(1), images)

    @torch.inference_mode()
    def predict(self, images: Tensor) -> Tensor:
        """Return the most likely class of each image, int64 [N]."""
        network = self._fitted
        return _apply(lambda batch: network(batch).argmax(1), images)

    def confidence(self, samples: Samples) -> Tensor:
        """Return the probability of each sample's label, in [0, 1], float32 [N].

        For samples without labels: the probability of their most likely class.
        """
        probabilities = self.probabilities(samples.data)
        if samples.condition is None:
            return probabilities.amax(1)
        return probabilities.gather(1, samples.condition[:, None]).squeeze(1)

    @property
    def _fitted(self) -> nn.Sequential:
        if self._network is None:
            raise RuntimeError("the classifier has not been prepared")
        return self._network


def _apply(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Apply a function of images in [-1, 1] to uint8 images, a batch at a time."""
    where = device()
    results = [function(_scaled(batch.to(where))).cpu() for batch in images.split(BATCH)]
    return torch.cat(results)


@dataclass(frozen=True)
class Architecture:
    """A network as a sequence of layers.

    build  makes it with new weights, given the numbers of channels and of classes
    head   how many of its last layers come after the embedding
    """

    build: Callable[[int, int], nn.Sequential]
    head: int


def _small_network(channels: int, classes: int) -> nn.Sequential:
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


def _lenet(channels: int, classes: int) -> nn.Sequential:
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


ARCHITECTURES = {
    "small": Architecture(_small_network, head=2),
    "lenet": Architecture(_lenet, head=1),
}


def _train(network: nn.Sequential, real: LabelledImages, settings: ClassifierSettings) -> None:
    """Train on the disturbed images, with a learning rate that falls linearly to 0."""
    assert real.labels is not None
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    where = next(network.parameters()).device
    batch = min(BATCH, len(real))
    steps = max(1, settings.images // batch)

    for step in range(steps):
        generator = seeds.generator(settings.seed, "classifier", step)
        rows = torch.randint(len(real), (batch,), generator=generator)
        images = _disturbed(_scaled(real.images[rows]), generator)
        labels = real.labels[rows]

        loss = nn.functional.cross_entropy(network(images.to(where)), labels.to(where))
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _disturbed(images: Tensor, generator: torch.Generator) -> Tensor:
    """Rotate, scale and shift each image a little and add noise; images in [-1, 1].

    Without it the embedding memorizes the training images, and real test images look far from real
    training images: the floor of every metric would be out of a generator's reach.
    """
    height, width = images.shape[2:]
    turn, size, right, down = (torch.rand(4, len(images), generator=generator) * 2 - 1).unbind()
    angle = turn * TURN
    scale = 1 + size * SCALE

    # Affine maps [N, 2, 3] from places in the result to places in the image, both in [-1, 1].
    shift_x = 2 * SHIFT * right / width
    shift_y = 2 * SHIFT * down / height
    rows = [
        torch.stack([angle.cos() / scale, -angle.sin() / scale, shift_x], 1),
        torch.stack([angle.sin() / scale, angle.cos() / scale, shift_y], 1),
    ]
    grid = nn.functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)

    # Outside the image everything is -1, which is black.
    moved = nn.functional.grid_sample(images + 1, grid, align_corners=False) - 1
    return moved + NOISE * torch.randn(images.shape, generator=generator)


def _scaled(images: Tensor) -> Tensor:
    """Return uint8 images as float32 in [-1, 1]."""
    return images.float() / 127.5 - 1
