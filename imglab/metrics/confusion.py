"""The mistakes of a judge that labels samples and rejects those of which it is not sure enough."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from imglab.metrics.undefined import Undefined

REJECTED = -1
"""The label of a sample of which the judge is not sure enough."""


def sure_labels(labels: Tensor, confidences: Tensor, *, threshold: float) -> Tensor:
    """Return labels, int64 [N], with `REJECTED` where the confidence is below the threshold."""
    return torch.where(confidences >= threshold, labels, REJECTED)


@dataclass(frozen=True)
class Confusion:
    """What a judge says of labelled samples that it has not seen in training.

    accepted  entry [i, j] counts samples of class i that it labels j, int64 [K, K], or float64
    rejected  samples of each class that it rejects, int64 [K], or float64
    """

    accepted: Tensor
    rejected: Tensor

    @classmethod
    def of(cls, *, truth: Tensor, labels: Tensor, classes: int) -> Confusion:
        """Count true classes, int64 [N], against a judge's labels, int64 [N] (or `REJECTED`)."""
        is_accepted = labels != REJECTED
        pairs = truth[is_accepted] * classes + labels[is_accepted]
        accepted = torch.bincount(pairs, minlength=classes**2).view(classes, classes)
        rejected = torch.bincount(truth[~is_accepted], minlength=classes)
        return cls(accepted, rejected)

    def worth(self, share: float) -> Confusion:
        """Return counts of which each sample is worth only a share, float64.

        Where samples come in clusters that are alike, such as the blocks of a document, there are
        only about as many independent ones as there are clusters.
        """
        return Confusion(share * self.accepted.double(), share * self.rejected.double())

    @property
    def accuracy(self) -> float:
        """The share of right labels among the accepted samples."""
        total = float(self.accepted.sum())
        if total == 0:
            raise Undefined("the judge rejects every held-out sample")
        return float(self.accepted.diagonal().sum() / total)


def acceptance_threshold(confidences: Tensor, *, accepted: float = 0.95) -> float:
    """Return the confidence that this share of held-out real samples, float [N], at least has."""
    if not len(confidences):
        raise Undefined("there is no held-out sample")
    return float(confidences.double().quantile(1 - accepted))
