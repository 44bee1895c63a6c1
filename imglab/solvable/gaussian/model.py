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
from imglab.solvable.gaussian.vector_model import BATCH, VectorModel, normal_log_density, root


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
