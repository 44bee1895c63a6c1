"""Feature extractors for images: what the distribution metrics see."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from tempfile import TemporaryDirectory

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
from torchmetrics.image.fid import NoTrainInceptionV3

from imglab import seeds
from imglab.errors import InputError, Problem, first_line
from imglab.images.settings import ClassifierSettings, InceptionSettings
from imglab.images.sources import UNREADABLE, LabelledImages
from imglab.store import files
from imglab.training.devices import device

HASH_LENGTH = 12
BATCH = 128
INCEPTION_KEY = "modality.extractor.weights"
INCEPTION_HASH = "6726825d"
LEARNING_RATE = 2e-3
TURN, SCALE, SHIFT, NOISE = 0.17, 0.1, 0.5, 0.4
"""What the classifier learns to overlook: radians, share, pixels, and noise on images in [-1, 1]."""
REMEDY = "give torch-fidelity's weights-inception-2015-12-05-6726825d.pth by path"


class Extractor(ABC):
    """Turns images into features. A class named as `module:Class` is made with the keys of its section."""

    def prepare(self, real: LabelledImages, shared: Path) -> None:  # noqa: B027 (most have nothing to prepare)
        """Make, or load from the folder `shared`, the weights; `real` is the training set."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Name, with `@` and a hash of the weights where there are any."""

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """Return float32 [N, D] of uint8 [N, C, H, W]; image i's features depend on image i alone."""


class Pixels(Extractor):
    """The pixels themselves, scaled to [0, 1]."""

    name = "pixels"

    def features(self, images: Tensor) -> Tensor:
        """Return float32 [N, C H W]."""
        return images.flatten(1).float() / 255


class Classifier(Extractor):
    """A small convolutional network trained on the real labels; its embedding is the feature: 64 numbers, LeNet's 84.

    Deterministic: the same images, settings and thread count give the same weights.
    """

    def __init__(self, settings: ClassifierSettings, classes: int) -> None:
        self._settings = settings
        self._classes = classes
        self._network: nn.Sequential | None = None
        self._hash = ""

    @property
    def name(self) -> str:
        """`classifier@` and the first digits of the weights' sha256."""
        return f"classifier@{self._hash}"

    def prepare(self, real: LabelledImages, shared: Path) -> None:
        """Train on the real training set, once, and keep the weights as `classifier.safetensors`."""
        path = shared / "classifier.safetensors"
        with seeds.isolated(self._settings.seed, "classifier", "weights"):
            network = _NETWORKS[self._settings.network](real.images.shape[1], self._classes)
        if not path.exists():
            _train_classifier(network.to(device()), real, self._settings)
            network.cpu()
            files.write_atomically(
                path, lambda temporary: save_file(network.state_dict(), temporary)
            )
        network.load_state_dict(load_file(path))
        self._network = network.eval().to(device())
        self._hash = files.sha256_file(path)[:HASH_LENGTH]

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """Return the embeddings, float32 [N, 64], or [N, 84] of LeNet."""
        embedding = len(self._fitted) - 1 - (self._settings.network == "small")
        return self._over(images, lambda batch: self._fitted[:embedding](batch))

    @torch.inference_mode()
    def probabilities(self, images: Tensor) -> Tensor:
        """Return the probability of each class, float32 [N, classes]."""
        return self._over(images, lambda batch: self._fitted(batch).softmax(1))

    @torch.inference_mode()
    def predict(self, images: Tensor) -> Tensor:
        """Return the most likely class of each image, int64 [N]."""
        return self._over(images, lambda batch: self._fitted(batch).argmax(1))

    def _over(self, images: Tensor, apply: Callable[[Tensor], Tensor]) -> Tensor:
        where = device()
        return torch.cat([apply(_scaled(batch.to(where))).cpu() for batch in images.split(BATCH)])

    @property
    def _fitted(self) -> nn.Sequential:
        if self._network is None:
            raise RuntimeError("the classifier has not been prepared")
        return self._network


def _small_network(channels: int, classes: int) -> nn.Sequential:
    """Three convolutions and an embedding; no normalisation, so that the features see contrast."""
    body: list[nn.Module] = []
    for before, after, stride in ((channels, 32, 1), (32, 64, 2), (64, 64, 1)):
        body += [nn.Conv2d(before, after, 3, stride, 1), nn.ReLU()]
    body += [
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(64 * 16, 64),
        nn.ReLU(),
        nn.Linear(64, classes),
    ]
    return nn.Sequential(*body)


def _lenet(channels: int, classes: int) -> nn.Sequential:
    """LeNet-5 (LeCun et al. 1998) with rectifiers and maxima in place of its sigmoids and means; 84 features."""
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=2),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(14),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 25, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, classes),
    )


_NETWORKS = {"small": _small_network, "lenet": _lenet}


def _train_classifier(
    network: nn.Sequential, real: LabelledImages, settings: ClassifierSettings
) -> None:
    assert real.labels is not None
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=1e-2)
    batch = min(BATCH, len(real))
    steps = max(1, settings.images // batch)
    for step in range(steps):
        generator = seeds.generator(settings.seed, "classifier", step)
        rows = torch.randint(len(real), (batch,), generator=generator)
        images = _disturbed(_scaled(real.images[rows]), generator)
        where = next(network.parameters()).device
        loss = nn.functional.cross_entropy(network(images.to(where)), real.labels[rows].to(where))
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _disturbed(images: Tensor, generator: torch.Generator) -> Tensor:
    """Turn, scale and shift each image a little and add noise.

    Without it the embedding knows the training images by heart, and real test images look far from real training
    images: the floor of every metric would be out of a generator's reach.
    """
    turn, size, right, down = (torch.rand(4, len(images), generator=generator) * 2 - 1).unbind()
    angle, scale = turn * TURN, 1 + size * SCALE
    shift = [
        2 * SHIFT * part / side
        for part, side in zip((right, down), (images.shape[3], images.shape[2]), strict=True)
    ]
    rows = [
        torch.stack([angle.cos() / scale, -angle.sin() / scale, shift[0]], 1),
        torch.stack([angle.sin() / scale, angle.cos() / scale, shift[1]], 1),
    ]
    grid = nn.functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    moved = nn.functional.grid_sample(images + 1, grid, align_corners=False) - 1
    return moved + NOISE * torch.randn(images.shape, generator=generator)


def in_colour(images: Tensor) -> Tensor:
    """Repeat grey images [N, 1, H, W] to three channels."""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def _scaled(images: Tensor) -> Tensor:
    return images.float() / 127.5 - 1


class Inception(Extractor):
    """Inception-v3 as in the FID papers: torch-fidelity's port of the TensorFlow weights, 2,048 pooled features.

    Grey images are repeated to three channels; resizing to 299 x 299 is the port's own (TensorFlow 1 bilinear, no
    antialiasing), which published scores use.
    """

    def __init__(self, settings: InceptionSettings) -> None:
        weights = settings.weights
        if weights is not None and not Path(weights).is_file():
            raise InputError(Problem(INCEPTION_KEY, f"there is no file {weights!r}", REMEDY))
        self._network: nn.Module | None = None
        self._hash = ""
        if weights is not None:
            self._open(Path(weights))

    @property
    def name(self) -> str:
        """`inception@` and the first digits of the weights' sha256."""
        return f"inception@{self._hash}"

    def prepare(self, real: LabelledImages, shared: Path) -> None:
        """Load the weights from the path given, or download them."""
        if self._network is None:
            self._open(_downloaded(INCEPTION_KEY))

    def _open(self, path: Path) -> None:
        try:
            state = (
                load_file(path)
                if path.suffix == ".safetensors"
                else torch.load(path, weights_only=True)
            )
            self._network = _inception(state).to(device())
        except (
            *UNREADABLE,
            RuntimeError,
            AttributeError,
            UnpicklingError,
            SafetensorError,
        ) as error:
            what = f"{str(path)!r} does not hold Inception-v3's weights: {first_line(error)}"
            problem = Problem(INCEPTION_KEY, what, REMEDY)
            raise InputError(problem) from error
        self._hash = files.sha256_file(path)[:HASH_LENGTH]

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """Return the pooled features, float32 [N, 2048]."""
        if self._network is None:
            raise RuntimeError("the extractor has not been prepared")
        where = next(self._network.parameters()).device
        return torch.cat(
            [
                self._network(batch.to(where)).flatten(1).cpu()
                for batch in in_colour(images).split(32)
            ]
        )


def _inception(state: dict[str, Tensor]) -> nn.Module:
    """Make the port around these weights; its own loader would unpickle whatever the file says."""
    with TemporaryDirectory() as folder, seeds.isolated("inception"):
        own = Path(folder) / "weights.pth"
        torch.save(state, own)
        return NoTrainInceptionV3("inception-v3-compat", ["2048"], str(own), antialias=False)


def _downloaded(where: str) -> Path:
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(URL_INCEPTION_V3).name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(
                URL_INCEPTION_V3, str(path), hash_prefix=INCEPTION_HASH, progress=False
            )
        except (OSError, RuntimeError) as error:
            problem = Problem(
                where, f"Inception's weights could not be downloaded: {error}", REMEDY
            )
            raise InputError(problem) from error
    return path
