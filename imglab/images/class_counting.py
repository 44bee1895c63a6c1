"""How many samples belong to each class, by a judge whose mistakes are known."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from imglab.groups.judged_counts import OF_CLASSES, judged_counts
from imglab.images.classifier import Classifier
from imglab.images.counter import ClassCounter
from imglab.images.data import RealImages
from imglab.images.extractor_settings import ClassifierSettings
from imglab.images.metrics import class_metrics
from imglab.measures import Measures
from imglab.metrics.confusion import REJECTED
from imglab.samples import Samples


class ClassCounting:
    """Counts classes as the features' classifier sees them, and as a counter does."""

    def __init__(
        self, classifier: Classifier, settings: ClassifierSettings, classes: Sequence[str]
    ) -> None:
        """`settings` are those of `classifier`; `classes` are the names of the labels."""
        self._classifier = classifier
        self._counter = ClassCounter(settings, len(classes))
        self._classes = tuple(classes)

    def prepare(self, real: RealImages, shared: Path) -> None:
        """Train the counter on all that is for training, and test both judges on the rest."""
        self._real = real
        self._counter.prepare(real.for_training, real.test, shared)

    def metrics(self, samples: Samples) -> Measures:
        """Count the classes of samples.

        class_counts            as the classifier sees them (`class_metrics`, with what follows)
        class_counts_corrected  as the counter's labels say once its mistakes are taken into
                                account (`corrected_shares`), times the number of samples
        class_counts_low, class_counts_high  bounds of the 95% interval of the corrected counts
        class_rejected_share    samples of which the counter is less sure than of 95% of real ones
        class_agreement         share of the other samples that a second counter, with another
                                network and other seeds, gives the same class
        share_disparity         the least ratio of a class's corrected share to its real one, with
                                class and a 95% interval; its floor is what chance alone leaves
        class_accuracy          share of right labels of held-out real images, by judge; the
                                counter's is that of the images that it accepts
        """
        labels = self._classifier.predict(samples.data)
        counter_labels = self._counter.labels(samples.data)
        generation = int(samples.origin[0])
        parts = [
            class_metrics(labels, self._classes, real=self._real_labels, generation=generation),
            judged_counts(
                counter_labels,
                confusion=self._counter.confusion,
                real=self._real_labels,
                groups=self._classes,
                names=OF_CLASSES,
            ),
            self._agreement(counter_labels, self._counter.second_labels(samples.data)),
        ]
        return Measures.joined(parts)

    def _agreement(self, labels: Tensor, second_labels: Tensor) -> Measures:
        is_accepted = labels != REJECTED
        values: dict[str, Any] = {
            "class_rejected_share": 1 - float(is_accepted.double().mean()),
            "class_agreement": None,
            "class_accuracy": self._accuracies,
        }
        if not bool(is_accepted.any()):
            return Measures(values, {"class_agreement": "the counter is sure of no sample"})

        agrees = labels[is_accepted] == second_labels[is_accepted]
        values["class_agreement"] = float(agrees.double().mean())
        return Measures(values)

    @cached_property
    def _accuracies(self) -> dict[str, float]:
        test = self._real.test
        assert test.labels is not None
        is_right = self._classifier.predict(test.images) == test.labels
        return {
            "classifier": float(is_right.double().mean()),
            "counter": self._counter.confusion.accuracy,
        }

    @property
    def _real_labels(self) -> Tensor:
        assert self._real.train.labels is not None
        return self._real.train.labels
