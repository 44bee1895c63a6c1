"""How many samples belong to each class or group, from a judge's labels and its mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from imglab.groups.ability import Groups
from imglab.groups.numbering import EXAMPLES
from imglab.measures import Measures
from imglab.metrics import Undefined
from imglab.metrics.class_counts import (
    ClassShares,
    corrected_shares,
    share_disparity,
    share_disparity_by_chance,
)
from imglab.metrics.comparison import spread
from imglab.metrics.confusion import REJECTED, Confusion


@dataclass(frozen=True)
class MetricNames:
    """What the metrics are called.

    counts, low, high           corrected counts, and the bounds of their 95% intervals
    disparity, interval, worst  the least ratio of a share to its real one, its 95% interval, and
                                what it is that of
    """

    counts: str
    low: str
    high: str
    disparity: str
    interval: str
    worst: str


OF_CLASSES = MetricNames(
    counts="class_counts_corrected",
    low="class_counts_low",
    high="class_counts_high",
    disparity="share_disparity",
    interval="share_disparity_interval",
    worst="share_disparity_class",
)

OF_GROUPS = MetricNames(
    counts="group_counts",
    low="group_counts_low",
    high="group_counts_high",
    disparity="group_share_disparity",
    interval="group_share_disparity_interval",
    worst="group_share_disparity_group",
)


def group_metrics(labels: Tensor, *, confusion: Confusion, real: Groups) -> Measures:
    """Count the groups of samples.

    labels     what a judge says of each sample, int64 [N] (or `REJECTED`)
    confusion  what it says of held-out real samples
    real       the groups of the real training samples

    group_counts                        samples of each group, corrected by the judge's confusion
                                        matrix (`corrected_shares`)
    group_counts_low, group_counts_high  bounds of the 95% intervals
    group_share_disparity               the least ratio of a group's share to its real one, with
                                        group and a 95% interval
    group_rejected_share                samples of which the judge is less sure than of 95% of real
                                        ones
    group_accuracy                      share of right groups among the held-out real samples of
                                        which it is sure
    """
    counts = judged_counts(
        labels, confusion=confusion, real=real.numbers, groups=real.names, names=OF_GROUPS
    )
    rejected = float((labels == REJECTED).double().mean())
    try:
        accuracy = Measures({"group_accuracy": confusion.accuracy})
    except Undefined as error:
        accuracy = Measures({"group_accuracy": None}, {"group_accuracy": str(error)})
    return Measures.joined([counts, Measures({"group_rejected_share": rejected}), accuracy])


def judged_counts(
    labels: Tensor,
    *,
    confusion: Confusion,
    real: Tensor,
    groups: Sequence[str],
    names: MetricNames,
) -> Measures:
    """Count the members of each class or group, corrected by the judge's confusion matrix.

    labels     what the judge says of each sample, int64 [N] (or `REJECTED`)
    confusion  what it says of held-out real samples
    real       the class or group of each real training sample, int64 [M]
    groups     names of the classes or groups
    names      of the metrics

    The floor of the disparity is what chance and the judge's mistakes leave in sets with the real
    shares.
    """
    sizes = torch.bincount(real, minlength=len(groups))
    try:
        _check_held_out(confusion, groups)
        estimate = corrected_shares(labels, confusion=confusion)
        values = _described(estimate, len(labels), sizes, groups, names)
    except Undefined as error:
        missing = list(vars(names).values())
        return Measures(dict.fromkeys(missing), dict.fromkeys(missing, str(error)))

    by_chance = share_disparity_by_chance(len(labels), real=sizes, confusion=confusion).tolist()
    return Measures(values, floor={names.disparity: spread(by_chance)})


def _check_held_out(confusion: Confusion, groups: Sequence[str]) -> None:
    """Raise `Undefined` where the judge's mistakes with a class or group are not known."""
    held_out = confusion.accepted.sum(1) + confusion.rejected
    missing = [name for name, count in zip(groups, held_out.tolist(), strict=True) if not count]
    if missing:
        names = ", ".join(missing[:EXAMPLES])
        raise Undefined(f"no held-out sample of {names}, to find the judge's mistakes on")


def _described(
    estimate: ClassShares, n: int, sizes: Tensor, groups: Sequence[str], names: MetricNames
) -> Mapping[str, Any]:
    low, high = estimate.interval()
    disparity = share_disparity(estimate, real=sizes)
    counts = [(shares * n).tolist() for shares in (estimate.shares, low, high)]
    by_group = [dict(zip(groups, each, strict=True)) for each in counts]
    return {
        names.counts: by_group[0],
        names.low: by_group[1],
        names.high: by_group[2],
        names.disparity: disparity.value,
        names.interval: [disparity.low, disparity.high],
        names.worst: groups[disparity.worst],
    }
