"""How many samples belong to each group of a column, by a judge whose mistakes are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from torch import Tensor

from imglab.images.counter import ClassCounter
from imglab.images.data import RealImages
from imglab.images.extractor_settings import ClassifierSettings
from imglab.images.judged_counts import OF_GROUPS, judged_counts
from imglab.images.labelled import LabelledImages
from imglab.measures import Measures
from imglab.metrics import Undefined
from imglab.metrics.class_counts import REJECTED
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
        self._real = real
        self._counter.prepare(_by_group(real.for_training), _by_group(real.test), folder)

    def metrics(self, samples: Samples) -> Measures:
        """Count the groups of samples.

        group_counts                        samples of each group, corrected by the judge's
                                            confusion matrix (`corrected_shares`)
        group_counts_low, group_counts_high  bounds of the 95% intervals
        group_share_disparity               the least ratio of a group's share to its real one, with
                                            group and a 95% interval
        group_rejected_share                samples of which the judge is less sure than of 95% of
                                            real ones
        group_accuracy                      share of right groups among the held-out real images of
                                            which it is sure
        """
        labels = self._counter.labels(samples.data)
        counts = judged_counts(
            labels,
            confusion=self._counter.confusion,
            real=self._real_groups,
            groups=self._groups,
            names=OF_GROUPS,
        )
        is_rejected = (labels == REJECTED).double()
        of_judge = {"group_rejected_share": float(is_rejected.mean())}
        return Measures.joined([counts, Measures(of_judge), self._accuracy])

    @cached_property
    def _accuracy(self) -> Measures:
        try:
            return Measures({"group_accuracy": self._counter.confusion.accuracy})
        except Undefined as error:
            return Measures({"group_accuracy": None}, {"group_accuracy": str(error)})

    @property
    def _real_groups(self) -> Tensor:
        assert self._real.train.groups is not None
        return self._real.train.groups


def _by_group(images: LabelledImages) -> LabelledImages:
    """Return images whose labels are their groups."""
    return replace(images, labels=images.groups)
