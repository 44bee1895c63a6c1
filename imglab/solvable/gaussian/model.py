"""A normal distribution fitted by its mean and covariance."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from imglab import seeds
from imglab.model import GenerativeModel
from imglab.progress import Progress, Stage
from imglab.samples import Samples, TrainingSet
from imglab.solvable.gaussian.settings import GaussianModelSettings
from imglab.solvable.gaussian.vector_model import (
    BATCH,
    VectorModel,
    normal_log_density,
    root,
    vector_tensors,
    without_negative,
)
from imglab.training.moving import moved_tensors


class GaussianModel(VectorModel):
    """Fits mean and covariance and draws from N(mean, lambda covariance).

    Shumailov et al. 2024, theorem 3.1.
    """

    kind = "gaussian"
    settings_class = GaussianModelSettings
    _settings: GaussianModelSettings

    @property
    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean [D] and covariance [D, D] as fitted, before the sampling bias, float64."""
        return self.tensors["mean"], self.tensors["covariance"]

    def fit(
        self,
        train: TrainingSet,
        *,
        start: GenerativeModel | None,
        seed: int,
        resume: dict[str, Tensor] | None = None,
    ) -> Stage[GenerativeModel]:
        """Estimate mean and covariance; the weights of `start` make no difference."""
        if train.weights is not None:
            tensors = self._weighted(train.all().data.double(), train.weights)
            yield Progress("fit", len(train), len(train))
            return self._fitted(tensors, len(train))

        n = len(train)
        divisor = n if self._settings.estimator == "mle" else n - 1

        # A large set is read twice, in batches; a small one is gathered once.
        whole = []
        if n <= BATCH:
            whole = [train.all().data.double()]

        mean = torch.zeros(train.shape, dtype=torch.float64)  # [D]
        for batch in whole or _batches(train):
            mean += batch.sum(0) / n

        scatter = torch.zeros(len(mean), len(mean), dtype=torch.float64)  # [D, D]
        for batch in whole or _batches(train):
            scatter += (batch - mean).T @ (batch - mean)

        yield Progress("fit", n, n)
        return self._fitted({"mean": mean, "covariance": scatter / divisor}, n)

    def _weighted(self, values: Tensor, weights: Tensor) -> dict[str, Tensor]:
        """Return weighted mean and covariance of values [N, D], whose weights [N] have mean 1.

        The unbiased divisor is that of weights which say how much a sample counts: the sum of the
        weights less sum w^2 / sum w.
        """
        total = weights.sum()
        divisor = total
        if self._settings.estimator == "unbiased":
            divisor = total - weights.square().sum() / total

        mean = weights @ values / total
        centred = values - mean
        return {"mean": mean, "covariance": (weights * centred.T) @ centred / divisor}

    def moved_away(self, other: GenerativeModel, w: float) -> GaussianModel:
        """Return a model with the parameters (1 + w) self - w other (`imglab.remedies.neon`).

        A covariance that would be negative in some direction is 0 there.
        """
        tensors = moved_tensors(self.tensors, vector_tensors(other, self.kind), w)
        tensors["covariance"] = without_negative(tensors["covariance"])
        return self._fitted(tensors, self._seen + other.training["samples_seen"])

    def _diffused(self, signal: float, noise: float) -> GaussianModel:
        mean, covariance = self.moments
        blurred = covariance * signal**2 + noise * torch.eye(len(mean), dtype=torch.float64)
        return self._fitted({"mean": mean * signal, "covariance": blurred}, self._seen)

    def check_weights(self) -> None:
        """Do nothing: a fit reads the weights of its training set, whatever the settings are."""

    def draw(self, indices: range, *, conditions: Tensor | None, seed: int) -> Iterator[Samples]:
        """Yield mean + root(lambda covariance) z, where z comes from (seed, i)."""
        mean, covariance = self.moments
        factor = root(covariance * self._settings.sampling_bias)

        for start in range(0, len(indices), BATCH):
            noise = seeds.normal(mean.shape, indices[start : start + BATCH], seed=seed).double()
            yield Samples.drawn((mean + noise @ factor.T).float())

    def log_density(self, samples: Samples) -> Tensor:
        """Return the log-density of N(mean, covariance), float64 [N]."""
        return normal_log_density(samples.data.double(), *self.moments)


def _batches(train: TrainingSet) -> Iterator[Tensor]:
    for rows in torch.arange(len(train)).split(BATCH):
        yield train.rows(rows).data.double()
