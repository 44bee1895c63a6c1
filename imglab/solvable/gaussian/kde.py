"""A kernel density estimate: the training set, blurred."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor

from imglab import seeds
from imglab.config.section import Section
from imglab.model import GenerativeModel
from imglab.progress import Progress, Stage
from imglab.samples import Samples, TrainingSet
from imglab.solvable.gaussian.settings import KdeSettings
from imglab.solvable.gaussian.vector_model import BATCH, VectorModel

PAIRS = 1 << 22
"""Distances that are in memory at a time."""


class KdeModel(VectorModel):
    """Keeps its training set x and draws x_j + h z, where j is uniform and z standard normal."""

    kind = "kde"
    settings_class: ClassVar[type[Section]] = KdeSettings

    @property
    def _scale(self) -> float:
        """What the points are multiplied by: 1."""
        return 1.0

    @property
    def _bandwidth(self) -> float:
        """h, the standard deviation of the kernel."""
        assert isinstance(self._settings, KdeSettings)
        return self._settings.bandwidth

    @property
    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and covariance (divided by n) of the points that are blurred, plus h^2 I."""
        points = self._scale * self.tensors["points"].double()
        weights = self._weights[:, None]
        mean = (weights * points).mean(0)
        covariance = (weights * (points - mean)).T @ (points - mean) / len(points)
        covariance.diagonal().add_(self._bandwidth**2)
        return mean, covariance

    def fit(
        self,
        train: TrainingSet,
        *,
        start: GenerativeModel | None,
        seed: int,
        resume: dict[str, Tensor] | None = None,
    ) -> Stage[GenerativeModel]:
        """Keep the training set; the weights of `start` make no difference."""
        points = train.all().data.contiguous()
        tensors = {"points": points}
        if train.weights is not None:
            tensors["weights"] = train.weights
        yield Progress("fit", len(points), len(points))
        return self._fitted(tensors, len(points))

    @property
    def _weights(self) -> Tensor:
        """How much each point counts, float64 [n] of mean 1."""
        points = self.tensors["points"]
        return self.tensors.get("weights", torch.ones(len(points), dtype=torch.float64))

    def _diffused(self, signal: float, noise: float) -> KdeModel:
        """Return the model of signal x + z: other points, under a wider kernel."""
        bandwidth = math.sqrt((signal * self._bandwidth) ** 2 + noise)
        settings = KdeSettings.model_construct(bandwidth=bandwidth)
        tensors = {**self.tensors, "points": self.tensors["points"] * (signal * self._scale)}
        return KdeModel(settings, fitted=tensors, seen=self._seen, between=self._between)

    def check_weights(self) -> None:
        """Do nothing: a fit reads the weights of its training set, whatever the settings are."""

    def draw(self, indices: range, *, conditions: Tensor | None, seed: int) -> Iterator[Samples]:
        """Yield x_j + h z, where j and z come from (seed, i)."""
        points = self._scale * self.tensors["points"]
        weights = self._weights

        for start in range(0, len(indices), BATCH):
            batch = indices[start : start + BATCH]
            uniforms = seeds.uniform(batch, seed=seeds.derive(seed, "point"))
            centres = points[seeds.invert(weights, uniforms)]  # [B, D]
            noise = seeds.normal(points.shape[1:], batch, seed=seed)
            yield Samples.drawn(centres + self._bandwidth * noise)

    def log_density(self, samples: Samples) -> Tensor:
        """Return log (1/n) sum_j w_j N(x; x_j, h^2 I), float64 [N], where each w_j is mostly 1."""
        points = self._scale * self.tensors["points"].double()
        h = self._bandwidth
        n, width = points.shape

        parts = []
        for batch in samples.data.double().split(max(1, PAIRS // n)):
            distances = torch.cdist(batch, points, compute_mode="donot_use_mm_for_euclid_dist")
            exponents = -0.5 * (distances / h).square() + self._weights.log()
            parts.append(exponents.logsumexp(1))
        return torch.cat(parts) - math.log(n) - width * math.log(h * math.sqrt(2 * math.pi))
