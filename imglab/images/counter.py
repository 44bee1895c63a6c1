"""A judge that counts classes: it reads faded and blurred images, and its mistakes are known."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from imglab.images.augmentation import damaged
from imglab.images.classifier import Classifier
from imglab.images.extractor_settings import ClassifierSettings
from imglab.images.labelled import LabelledImages
from imglab.metrics.confusion import Confusion, acceptance_threshold, sure_labels
from imglab.store import files

NETWORKS = ("standard", "small")
"""Networks of the two judges; the first one counts."""


class ClassCounter:
    """A classifier trained on faded, blurred and noisy images, with a reject option.

    It is never used for features, so it may learn from all real images that the source has for
    training. What it is sure enough of, and which mistakes it makes, is found on real images that
    it has not seen. A second one, with another network and other seeds, shows whether the labels
    depend on the judge.
    """

    def __init__(self, settings: ClassifierSettings, classes: int) -> None:
        """Make the judges, with the budget of the classifier `settings` and seeds of their own."""
        self._classes = classes
        self._first, self._second = (
            Classifier(
                settings.model_copy(update={"network": network, "seed": settings.seed + number}),
                classes,
                file=f"counter_{number}",
                augmentation=damaged,
            )
            for number, network in enumerate(NETWORKS, 1)
        )
        self.confusion: Confusion
        self._threshold = 0.0

    def prepare(self, real: LabelledImages, held_out: LabelledImages, shared: Path) -> None:
        """Train on `real` and find the mistakes on `held_out`, once; both have labels.

        The files in the folder `shared` are `counter_1.safetensors`, `counter_2.safetensors` and
        `confusion.safetensors`.
        """
        self._first.prepare(real, shared)
        self._second.prepare(real, shared)

        path = shared / "confusion.safetensors"
        if not path.exists():
            tensors = self._calibrated(held_out)
            files.write_atomically(path, lambda temporary: save_file(tensors, temporary))
        stored = load_file(path)
        self.confusion = Confusion(stored["accepted"], stored["rejected"])
        self._threshold = float(stored["threshold"])

    def second_labels(self, images: Tensor) -> Tensor:
        """Return what the second judge says of each image, int64 [N]; it rejects none."""
        return self._second.predict(images)

    def labels(self, images: Tensor) -> Tensor:
        """Return the class of each image, int64 [N]; `REJECTED` where it is not sure enough."""
        confidence, labels = self._first.probabilities(images).double().max(1)
        return sure_labels(labels, confidence, threshold=self._threshold)

    def _calibrated(self, held_out: LabelledImages) -> dict[str, Tensor]:
        confidence, labels = self._first.probabilities(held_out.images).double().max(1)
        self._threshold = acceptance_threshold(confidence)
        labels = sure_labels(labels, confidence, threshold=self._threshold)

        assert held_out.labels is not None
        confusion = Confusion.of(truth=held_out.labels, labels=labels, classes=self._classes)
        threshold = torch.tensor(self._threshold, dtype=torch.float64)
        return {
            "accepted": confusion.accepted,
            "rejected": confusion.rejected,
            "threshold": threshold,
        }
