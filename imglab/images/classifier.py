"""A small classifier, trained on the labels of the real images: an extractor and a judge.

Its embedding gives the features, its probabilities judge samples, and its predictions count how
many samples belong to each class.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from imglab import seeds
from imglab.images.augmentation import Augmentation, disturbed, noisy
from imglab.images.extractor_settings import ClassifierSettings
from imglab.images.labelled import LabelledImages
from imglab.images.network_fitting import BATCH, fit, fitted_once
from imglab.images.networks import ARCHITECTURES, apply, scaled
from imglab.modality import Extractor
from imglab.samples import Samples
from imglab.training.devices import device

AUGMENTATIONS: dict[str, Augmentation] = {"standard": noisy}
"""What the networks are trained on; the others on `disturbed` images."""


class Classifier(Extractor):
    """A small convolutional network trained on the real labels; its embedding is the feature.

    Deterministic: the same images, settings and thread count give the same weights.
    """

    def __init__(
        self,
        settings: ClassifierSettings,
        classes: int,
        *,
        file: str = "classifier",
        augmentation: Augmentation | None = None,
    ) -> None:
        """Choose the network.

        file          name of the weights' file in shared/, without its ending
        augmentation  what it learns to overlook; default: what its features should
        """
        self._settings = settings
        self._architecture = ARCHITECTURES[settings.network]
        self._classes = classes
        self._file = file
        self._augmentation = augmentation or AUGMENTATIONS.get(settings.network, disturbed)
        self._network: nn.Module | None = None
        self._hash = ""

    @property
    def name(self) -> str:
        """`classifier@` and the first digits of the weights' sha256."""
        return f"classifier@{self._hash}"

    def prepare(self, real: LabelledImages, shared: Path) -> None:
        """Train on the real training set, once, and store the weights in the folder `shared`."""
        with seeds.isolated(self._settings.seed, "classifier", "weights"):
            network = self._architecture.build(real.images.shape[1], self._classes)

        path = shared / f"{self._file}.safetensors"
        self._hash = fitted_once(network, path, lambda network: self._train(network, real))
        self._network = network

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """Return the embeddings, float32 [N, D]; D is 64 for `small` and 84 for `lenet`."""
        network = self._fitted
        return apply(lambda batch: self._architecture.embed(network, batch), images)

    @torch.inference_mode()
    def probabilities(self, images: Tensor) -> Tensor:
        """Return the probability of each class, float32 [N, classes]."""
        network = self._fitted
        return apply(lambda batch: network(batch).softmax(1), images)

    def predict(self, images: Tensor) -> Tensor:
        """Return the most likely class of each image, int64 [N]."""
        return self.probabilities(images).argmax(1)

    def confidence(self, samples: Samples) -> Tensor:
        """Return the probability of each sample's label, in [0, 1], float32 [N].

        For samples without labels: the probability of their most likely class.
        """
        probabilities = self.probabilities(samples.data)
        if samples.condition is None:
            return probabilities.amax(1)
        return probabilities.gather(1, samples.condition[:, None]).squeeze(1)

    @property
    def _fitted(self) -> nn.Module:
        if self._network is None:
            raise RuntimeError("the classifier has not been prepared")
        return self._network

    def _train(self, network: nn.Module, real: LabelledImages) -> None:
        """Train on changed images."""
        labels = real.labels
        assert labels is not None
        where = device()
        batch = min(BATCH, len(real))

        def loss_of(network: nn.Module, step: int) -> Tensor:
            generator = seeds.generator(self._settings.seed, "classifier", step)
            rows = torch.randint(len(real), (batch,), generator=generator)
            images = self._augmentation(scaled(real.images[rows]), generator)
            return nn.functional.cross_entropy(network(images.to(where)), labels[rows].to(where))

        fit(network, loss_of, steps=max(1, self._settings.images // batch))
