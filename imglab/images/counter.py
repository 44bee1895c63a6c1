"""A judge that counts classes: it reads faded and blurred images, and its mistakes are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from imglab.images.augmentation import damaged
from imglab.images.classifier import Classifier
from imglab.images.extractor_settings import ClassifierSettings
from imglab.images.labelled import LabelledImages
from imglab.metrics.class_counts import REJECTED, Confusion, acceptance_threshold
from imglab.store import files


class ClassCounter:
    """A classifier trained on faded, blurred and noisy images, with a reject option.

    It is never used for features, so it may learn from all real images that the source has for
    training. What it is sure enough of, and which mistakes it makes, is found on real images that
    it has not seen.
    """

    def __init__(self, settings: ClassifierSettings, classes: int) -> None:
        """Make a judge with the budget of the classifier `settings`, and another network."""
        network = NETWORKS[settings.network]
        section = settings.model_copy(update={"network": network, "seed": settings.seed + 1})
        self._classifier = Classifier(section, classes, file="counter", augmentation=damaged)
        self._classes = classes
        self.confusion: Confusion
        self._threshold = 0.0

    def prepare(self, real: LabelledImages, held_out: LabelledImages, shared: Path) -> None:
        """Train on `real` and find the mistakes on `held_out`, once; both have labels.

        The files in the folder `shared` are `counter.safetensors` and `confusion.safetensors`.
        """
        self._classifier.prepare(real, shared)

        path = shared / "confusion.safetensors"
        if not path.exists():
            tensors = self._calibrated(held_out)
            files.write_atomically(path, lambda temporary: save_file(tensors, temporary))
        stored = load_file(path)
        self.confusion = Confusion(stored["accepted"], stored["rejected"])
        self._threshold = float(stored["threshold"])

    def labels(self, images: Tensor) -> Tensor:
        """Return the class of each image, int64 [N]; `REJECTED` where it is not sure enough."""
        confidence, labels = self._classifier.probabilities(images).double().max(1)
        return torch.where(confidence >= self._threshold, labels, REJECTED)

    def _calibrated(self, held_out: LabelledImages) -> dict[str, Any]:
        confidence, labels = self._classifier.probabilities(held_out.images).double().max(1)
        self._threshold = acceptance_threshold(confidence)
        labels = torch.where(confidence >= self._threshold, labels, REJECTED)

        assert held_out.labels is not None
        confusion = Confusion.of(truth=held_out.labels, labels=labels, classes=self._classes)
        threshold = torch.tensor(self._threshold, dtype=torch.float64)
        return {
            "accepted": confusion.accepted,
            "rejected": confusion.rejected,
            "threshold": threshold,
        }


NETWORKS = {"standard": "small", "small": "standard", "lenet": "standard"}
"""The counter's network, for that of the classifier with which it is to agree."""
