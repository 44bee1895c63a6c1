"""A normal distribution fitted by its mean and covariance."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from imglab import seeds
from imglab.gaussian.settings import GaussianModelSettings
from imglab.modality import GenerativeModel, Modality, Progress, Stage
from imglab.samples import Samples, TrainingSet

BATCH = 4096


class GaussianModel(GenerativeModel):
    """Fits mean and covariance (Shumailov et al. 2024, theorem 3.1), draws from N(mean, lambda covariance)."""

    def __init__(
        self,
        settings: GaussianModelSettings,
        modality: Modality | None = None,
        *,
        fitted: tuple[Tensor, Tensor] | None = None,
        seen: int = 0,
    ) -> None:
        self._settings = settings
        self._fitted = fitted
        self._seen = seen

    @property
    def parameters(self) -> tuple[Tensor, Tensor]:
        """Mean [D] and covariance [D, D], float64."""
        if self._fitted is None:
            raise ValueError("the model has not been fitted")
        return self._fitted

    @property
    def training(self) -> Mapping[str, Any]:
        """Each sample is seen once: the fit is exact."""
        return {"samples_seen": self._seen, "budget": "exact"}

    def fit(
        self,
        train: TrainingSet,
        *,
        start: GenerativeModel | None,
        seed: int,
        resume: dict[str, Tensor] | None = None,
    ) -> Stage[GenerativeModel]:
        """Estimate mean and covariance in two passes over a large set; where it starts from makes no difference."""
        n = len(train)
        whole = [train.all().data.double()] if n <= BATCH else None
        mean = torch.zeros(train.shape, dtype=torch.float64)
        for batch in whole or _batches(train):
            mean += batch.sum(0) / n
        scatter = torch.zeros(len(mean), len(mean), dtype=torch.float64)
        for batch in whole or _batches(train):
            scatter += (batch - mean).T @ (batch - mean)
        covariance = scatter / (n if self._settings.estimator == "mle" else n - 1)
        yield Progress("fit", n, n)
        return GaussianModel(self._settings, fitted=(mean, covariance), seen=n)

    def draw(self, indices: range, *, conditions: Tensor | None, seed: int) -> Iterator[Samples]:
        """Yield mean + root(lambda covariance) z, z from (seed, i)."""
        mean, covariance = self.parameters
        values, vectors = torch.linalg.eigh(covariance * self._settings.sampling_bias)
        root = vectors * values.clamp(min=0).sqrt()
        for start in range(0, len(indices), BATCH):
            noise = seeds.normal(mean.shape, indices[start : start + BATCH], seed=seed).double()
            yield Samples.drawn((mean + noise @ root.T).float())

    def save(self, path: Path) -> None:
        """Write `model.safetensors` and `imglab.json`."""
        path.mkdir()
        mean, covariance = self.parameters
        save_file({"mean": mean, "covariance": covariance}, path / "model.safetensors")
        described = {"kind": "gaussian", "settings": self._settings.model_dump(), "samples_seen": self._seen}
        (path / "imglab.json").write_text(json.dumps(described, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> GaussianModel:
        """Open what `save` wrote."""
        described = json.loads((path / "imglab.json").read_text())
        tensors = load_file(path / "model.safetensors")
        settings = GaussianModelSettings(**described["settings"])
        return cls(settings, fitted=(tensors["mean"], tensors["covariance"]), seen=described["samples_seen"])


def _batches(train: TrainingSet) -> Iterator[Tensor]:
    for rows in torch.arange(len(train)).split(BATCH):
        yield train.rows(rows).data.double()
