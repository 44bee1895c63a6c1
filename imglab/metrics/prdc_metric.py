"""Precision, recall, density and coverage as a metric of torchmetrics, which is slow to import."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from imglab.metrics.prdc import prdc


class PrecisionRecallDensityCoverage(Metric):
    """`prdc` as a torchmetrics `Metric`: update with features, compute at the end.

    Its state is synchronised over processes.

    Args:
        precision_recall_k: neighbours for precision and recall.
        density_coverage_k: neighbours for density and coverage.
        kwargs: settings of `torchmetrics.Metric`, such as `sync_on_compute`.

    Example:
        >>> metric = PrecisionRecallDensityCoverage()
        >>> for batch in torch.arange(20.0)[:, None].split(5):
        ...     metric.update(batch, real=True)
        >>> metric.update(torch.full((20, 1), 10.0), real=False)
        >>> scores = metric.compute()
        >>> float(scores["precision"]), round(float(scores["recall"]), 2)
        (1.0, 0.05)
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    real: list[Tensor]
    synthetic: list[Tensor]

    def __init__(
        self, *, precision_recall_k: int = 3, density_coverage_k: int = 5, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.precision_recall_k = precision_recall_k
        self.density_coverage_k = density_coverage_k
        self.add_state("real", default=[], dist_reduce_fx="cat")
        self.add_state("synthetic", default=[], dist_reduce_fx="cat")

    def update(self, features: Tensor, *, real: bool) -> None:
        """Add features, float [N, D], of real or of synthetic samples."""
        if real:
            self.real.append(features.detach())
        else:
            self.synthetic.append(features.detach())

    def compute(self) -> dict[str, Tensor]:
        """Return the four scores of all features added, in all processes."""
        scores = prdc(
            real=dim_zero_cat(self.real).cpu(),
            synthetic=dim_zero_cat(self.synthetic).cpu(),
            precision_recall_k=self.precision_recall_k,
            density_coverage_k=self.density_coverage_k,
        )
        return {
            name: torch.tensor(value, device=self.device)
            for name, value in scores._asdict().items()
        }
