"""Ridge regression on pairs, which labels inputs with its own responses and true noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from imglab import seeds
from imglab.errors import InputError, Problem
from imglab.measures import Measures
from imglab.modality import Modality
from imglab.model import GenerativeModel, read_weights
from imglab.progress import Progress, Stage
from imglab.samples import Samples, TrainingSet
from imglab.solvable.regression.modality import RegressionModality, pairs
from imglab.solvable.regression.settings import RegressionDataSettings, RidgeSettings

BATCH = 4096
"""Pairs that are drawn at a time."""

LEAST = 1e-10
"""Singular values below this share of the largest one are 0."""


class RidgeModel(GenerativeModel):
    """Fits coefficients and draws y = x beta_hat + sigma z.

    Gerstgrasser et al. 2024 (2404.01413); Dohmatob et al. 2024 (2402.07712).
    """

    def __init__(
        self,
        settings: RidgeSettings,
        modality: Modality | None = None,
        *,
        data: RegressionDataSettings | None = None,
        tensors: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Make a model that can be fitted to data of `modality`, or a fitted one.

        data     the true distribution; a modality has its own
        tensors  `true` [d], `inputs` [N, d] of the real training set, and where it is fitted
                 `fitted` [d], and `seen` [1], the size of its training set
        """
        if modality is not None:
            if not isinstance(modality, RegressionModality):
                remedy = "use it with modality.kind: regression"
                raise InputError(Problem("model.kind", "`ridge` is fitted to pairs", remedy))
            data = modality.settings
            inputs = modality.real("train").data[:, :-1].contiguous()
            tensors = {"true": modality.coefficients, "inputs": inputs}
        assert data is not None
        assert tensors is not None

        self._settings = settings
        self._data = data
        self._tensors = tensors

    @property
    def coefficients(self) -> Tensor:
        """The fitted coefficients, float64 [d]."""
        if "fitted" not in self._tensors:
            raise ValueError("the model has not been fitted")
        return self._tensors["fitted"]

    @property
    def training(self) -> Mapping[str, Any]:
        """Return that each pair was seen once, since the fit is exact."""
        return {"samples_seen": int(self._tensors["seen"]), "budget": "exact"}

    def fit(
        self,
        train: TrainingSet,
        *,
        start: GenerativeModel | None,
        seed: int,
        resume: dict[str, Tensor] | None = None,
    ) -> Stage[GenerativeModel]:
        """Solve the ridge regression; the weights of `start` make no difference."""
        data = train.all().data.double()
        fitted = ridge(data[:, :-1], data[:, -1], self._settings.penalty)
        yield Progress("fit", len(data), len(data))
        tensors = {**self._tensors, "fitted": fitted, "seen": torch.tensor([len(data)])}
        return RidgeModel(self._settings, data=self._data, tensors=tensors)

    def draw(self, indices: range, *, conditions: Tensor | None, seed: int) -> Iterator[Samples]:
        """Yield pairs; noise, and fresh inputs, come from (seed, i)."""
        inputs = self._tensors["inputs"]
        width = self._data.dimensions + 1

        for start in range(0, len(indices), BATCH):
            batch = indices[start : start + BATCH]
            if self._data.inputs == "fresh":
                noise = seeds.normal((width,), batch, seed=seed)
            else:
                rows = torch.tensor(batch) % len(inputs)
                noise = torch.cat([inputs[rows], seeds.normal((1,), batch, seed=seed)], 1)
            yield Samples.drawn(pairs(noise, self.coefficients, self._data.noise))

    def metrics(self, samples: Samples, *, generation0: GenerativeModel, seed: int) -> Measures:
        """Compare the fitted coefficients with the truth.

        excess_risk  |beta_hat - beta|^2: the expected squared error on real inputs beyond that of
                     the truth, as the inputs have unit covariance
        test_error   expected squared error on real pairs: excess_risk + sigma^2
        norm         |beta_hat|, over |beta| where that is not 0
        """
        true = self._tensors["true"]
        excess = float((self.coefficients - true).square().sum())
        values = {
            "excess_risk": excess,
            "test_error": excess + self._data.noise**2,
            "norm": float(self.coefficients.norm()) / (self._data.signal or 1.0),
        }
        return Measures(values)

    def weights(self) -> Mapping[str, Tensor]:  # noqa: D102
        return self._tensors

    def description(self) -> Mapping[str, Any]:  # noqa: D102
        settings = self._settings.model_dump()
        return {"kind": "ridge", "settings": settings, "data": self._data.model_dump()}

    @classmethod
    def restore(cls, description: Mapping[str, Any], path: Path) -> RidgeModel:  # noqa: D102
        settings = RidgeSettings.model_validate(description["settings"])
        data = RegressionDataSettings.model_validate(description["data"])
        return cls(settings, data=data, tensors=read_weights(path))


def ridge(inputs: Tensor, responses: Tensor, penalty: float) -> Tensor:
    """Return (X'X + N lambda I)^-1 X'y, float64 [N, d], [N] -> [d].

    Without a penalty it is the least-squares solution of least length, also where N < d.
    """
    u, values, vh = torch.linalg.svd(inputs, full_matrices=False)
    is_zero = values <= LEAST * values.max()
    factors = values / (values.square() + len(inputs) * penalty)
    factors[is_zero] = 0
    solution: Tensor = vh.T @ (factors * (u.T @ responses))
    return solution
