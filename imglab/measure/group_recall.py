"""The recall of each group of real samples, beside what other real samples recall of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from imglab.groups import Grouped, Groups
from imglab.measure.floors import orders, too_few
from imglab.measures import Measures
from imglab.metrics import Undefined
from imglab.metrics.bounded import in_bounded_balls
from imglab.metrics.class_counts import rate_disparity
from imglab.metrics.comparison import spread
from imglab.metrics.pairs import Pairs
from imglab.modality import Modality, Split

SPLITS = 50
"""Random splits of the real data, at most, behind the recall of real samples."""

NAMES = (
    "recall_by_group",
    "group_recall_disparity",
    "group_recall_disparity_interval",
    "group_recall_disparity_group",
)


class GroupRecall:
    """Measures which groups of the real data the samples still recall.

    Recall is that with bounded balls (`recall_bounded`). Groups that lie in thin regions are
    recalled less even by real samples: so what these recall of each group stands beside it.
    """

    def __init__(self, grouped: Grouped, *, reference: Split, k: int, splits: int) -> None:
        """Take the groups of the real data.

        reference  the real split whose samples are recalled
        k          the neighbour to which a ball reaches
        splits     of the real data behind each floor, of which the first `SPLITS` are used
        """
        self._reference = grouped.groups(reference)
        self._all = torch.cat([grouped.groups(split).numbers for split in ("train", "test")])
        self._k = k
        self._splits = min(splits, SPLITS)
        self._of_real: dict[int, Measures] = {}

    @classmethod
    def of(cls, modality: Modality, reference: Split, k: int, splits: int) -> GroupRecall | None:
        """Return what measures the groups of a kind of data; None where it has none."""
        grouped = modality.ability(Grouped)
        if grouped is None:
            return None
        return cls(grouped, reference=reference, k=k, splits=splits)

    def scores(self, pairs: Pairs, pool: Callable[[], Tensor]) -> Measures:
        """Measure the groups.

        pairs  of the reference and of the synthetic samples
        pool   returns the features of the real training and test samples, float [P, D]

        recall_by_group          share of the real samples of each group that lie in a bounded ball
                                 of the synthetic ones
        recall_by_group_of_real  the same of random parts of the real data, mean over splits
        group_recall_disparity   least recall of a group over the mean recall of the groups, with
                                 its 95% interval and the name of the group
        """
        try:
            balls = pairs.at_least(self._k + 1).bounded
            of_samples = self._measures(balls.is_recalled, self._reference)
        except Undefined as error:
            of_samples = Measures(dict.fromkeys(NAMES), dict.fromkeys(NAMES, str(error)))

        sizes = (len(self._reference.numbers), len(pairs.synthetic))
        if sizes[1] not in self._of_real:
            self._of_real[sizes[1]] = self._real_recall(pool(), *sizes)
        return Measures.joined([of_samples, self._of_real[sizes[1]]])

    def _real_recall(self, pool: Tensor, n_real: int, n_synthetic: int) -> Measures:
        """Return what real samples recall of the groups of others, and the disparity's floor."""
        name = "recall_by_group_of_real"
        if len(pool) < n_real + n_synthetic:
            return Measures({name: None}, {name: too_few(len(pool), n_real, n_synthetic)})

        shares: dict[str, list[float]] = {group: [] for group in self._reference.names}
        disparities: list[float | list[float] | None] = []
        for order in orders(len(pool), self._splits):
            real = order[:n_real]
            synthetic = order[n_real : n_real + n_synthetic]
            groups = Groups(self._reference.names, self._all[real])
            try:
                balls = in_bounded_balls(real=pool[real], synthetic=pool[synthetic], k=self._k)
            except Undefined as error:
                return Measures({name: None}, {name: str(error)})
            values = self._measures(balls.is_recalled, groups).values
            disparities.append(values["group_recall_disparity"])
            for group, share in values["recall_by_group"].items():
                if share is not None:
                    shares[group].append(share)

        means = {group: sum(each) / len(each) if each else None for group, each in shares.items()}
        return Measures({name: means}, floor={"group_recall_disparity": spread(disparities)})

    def _measures(self, is_recalled: Tensor, groups: Groups) -> Measures:
        """Return the recall of each group, None for one without samples, and the disparity.

        The disparity is undefined where nothing is recalled of any group.
        """
        count = len(groups.names)
        totals = torch.bincount(groups.numbers, minlength=count)
        hits = torch.bincount(groups.numbers, weights=is_recalled.double(), minlength=count)
        shares = [
            hit / total if total else None
            for hit, total in zip(hits.tolist(), totals.tolist(), strict=True)
        ]
        values: dict[str, Any] = dict.fromkeys(NAMES)
        values["recall_by_group"] = dict(zip(groups.names, shares, strict=True))
        try:
            disparity = rate_disparity(hits, totals)
        except Undefined as error:
            return Measures(values, dict.fromkeys(NAMES[1:], str(error)))
        values["group_recall_disparity"] = disparity.value
        values["group_recall_disparity_interval"] = [disparity.low, disparity.high]
        values["group_recall_disparity_group"] = groups.names[disparity.worst]
        return Measures(values)
