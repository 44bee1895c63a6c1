"""How many images belong to each group of a column, by a judge whose mistakes are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from imglab.groups import Groups
from imglab.groups.judged_counts import group_metrics
from imglab.images.counter import ClassCounter
from imglab.images.data import RealImages
from imglab.images.extractor_settings import ClassifierSettings
from imglab.images.labelled import LabelledImages
from imglab.measures import Measures
from imglab.samples import Samples

FOLDER = "groups"
"""Folder of the judges' weights beside those of the judges of classes."""


class GroupCounting:
    """Counts the groups of a column as the counter of classes counts these."""

    def __init__(self, settings: ClassifierSettings, groups: Sequence[str]) -> None:
        """Make the judges; `groups` are the names of the groups."""
        self._counter = ClassCounter(settings, len(groups))
        self._groups = tuple(groups)

    def prepare(self, real: RealImages, shared: Path) -> None:
        """Train the judges on all that is for training, and find their mistakes on the rest."""
        folder = shared / FOLDER
        folder.mkdir(exist_ok=True)
        assert real.train.groups is not None
        self._real = Groups(self._groups, real.train.groups)
        self._counter.prepare(_by_group(real.for_training), _by_group(real.test), folder)

    def metrics(self, samples: Samples) -> Measures:
        """Count the groups of images (`group_metrics`)."""
        labels = self._counter.labels(samples.data)
        return group_metrics(labels, confusion=self._counter.confusion, real=self._real)


def _by_group(images: LabelledImages) -> LabelledImages:
    """Return images whose labels are their groups."""
    return replace(images, labels=images.groups)
