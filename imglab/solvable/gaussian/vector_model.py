"""What all models of vectors share: named tensors, and moments that are compared with the truth."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from imglab.config.section import Section
from imglab.errors import InputError, Problem
from imglab.measures import Measures
from imglab.metrics.eigen import eigh
from imglab.modality import Modality
from imglab.model import GenerativeModel, ignores_generation0, read_weights
from imglab.samples import Samples
from imglab.solvable.gaussian.modality import GaussianModality

if TYPE_CHECKING:
    from typing_extensions import Self

BATCH = 4096
"""Samples that are drawn, or fitted to, at a time."""


class VectorModel(GenerativeModel):
    """A distribution over vectors [D] with known moments."""

    kind: ClassVar[str]
    """The model's kind in a config."""

    settings_class: ClassVar[type[Section]]
    """The keys of its section there."""

    budget: ClassVar[str] = "exact"
    """How a fit ends; each sample counts as seen once."""

    def __init__(
        self,
        settings: Section,
        modality: Modality | None = None,
        *,
        fitted: Mapping[str, Tensor] | None = None,
        seen: int = 0,
        between: float = 0.0,
    ) -> None:
        """Make a model that can be fitted to data of `modality`, or one with tensors `fitted`.

        seen     how many samples it was fitted to
        between  variance of the real distribution along the first axis beyond 1; a Gaussian
                 `modality` has its own
        """
        if modality is not None:
            spec = modality.spec
            if len(spec.shape) != 1 or not spec.dtype.is_floating_point:
                what = f"`{self.kind}` draws vectors"
                remedy = "use it with modality.kind: gaussian"
                raise InputError(Problem("model.kind", what, remedy))
        if isinstance(modality, GaussianModality):
            between = modality.between

        self._settings = settings
        self._tensors = fitted
        self._seen = seen
        self._between = between

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """The fitted parameters by name."""
        if self._tensors is None:
            raise ValueError("the model has not been fitted")
        return self._tensors

    @property
    @abstractmethod
    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean [D] and covariance [D, D] of the fitted distribution, float64."""

    @property
    def training(self) -> Mapping[str, Any]:
        """Samples seen, and how a fit ends."""
        return {"samples_seen": self._seen, "budget": self.budget}

    @ignores_generation0
    def metrics(self, samples: Samples, *, generation0: GenerativeModel, seed: int) -> Measures:
        """Compare the fitted moments with the truth.

        mean_error  squared distance of the fitted mean from the true one, which is 0
        variance    mean of the fitted covariance's diagonal; 1 where the truth is N(0, I)
        w2          squared 2-Wasserstein distance between the normal distributions of the fitted
                    and of the true moments
        """
        return Measures(moment_measures(*self.moments, between=self._between))

    def weights(self) -> Mapping[str, Tensor]:  # noqa: D102
        return self.tensors

    def description(self) -> Mapping[str, Any]:  # noqa: D102
        return {
            "kind": self.kind,
            "settings": self._settings.model_dump(),
            "samples_seen": self._seen,
            "between": self._between,
        }

    @classmethod
    def restore(cls, description: Mapping[str, Any], path: Path) -> Self:  # noqa: D102
        return cls(
            cls.settings_class.model_validate(description["settings"]),
            fitted=read_weights(path),
            seen=description["samples_seen"],
            between=description["between"],
        )

    def check_stop(self, time: float) -> None:
        """Do nothing: diffusion of what it draws is solved exactly, whatever the settings are."""

    def stopped(self, time: float) -> Self:
        """Return the model of e^(-time) x + sqrt(1 - e^(-2 time)) z (`imglab.remedies.anneal`)."""
        signal = math.exp(-time)
        return self._diffused(signal, 1 - signal**2)

    @abstractmethod
    def _diffused(self, signal: float, noise: float) -> Self:
        """Return the model of signal x + z, where z is normal with the variance `noise`."""

    def _fitted(self, tensors: Mapping[str, Tensor], seen: int) -> Self:
        return type(self)(self._settings, fitted=tensors, seen=seen, between=self._between)


def moment_measures(mean: Tensor, covariance: Tensor, *, between: float = 0.0) -> dict[str, float]:
    """Return mean_error, variance and w2 (see `VectorModel.metrics`) of a normal distribution.

    mean, covariance  of that distribution, float64 [D] and [D, D]; the truth is
                      N(0, diag(1 + between, 1, 1, ..))
    """
    true_deviations = torch.ones(len(mean), dtype=torch.float64)
    true_deviations[0] = math.sqrt(1 + between)

    # W2^2 = |m|^2 + tr(S + T - 2 (T^(1/2) S T^(1/2))^(1/2)), where T is the true covariance.
    crossed = true_deviations[:, None] * covariance * true_deviations
    roots = torch.linalg.eigvalsh(crossed).clamp(min=0).sqrt()
    traces = covariance.trace() + true_deviations.square().sum()
    mean_error = float(mean.square().sum())
    return {
        "mean_error": mean_error,
        "variance": float(covariance.diagonal().mean()),
        "w2": mean_error + max(0.0, float(traces - 2 * roots.sum())),
    }


def vector_tensors(model: GenerativeModel, kind: str) -> Mapping[str, Tensor]:
    """Return the fitted parameters of a model; ValueError unless it is one of this kind."""
    if not isinstance(model, VectorModel) or model.kind != kind:
        raise ValueError(f"architecture differs: it is a {type(model).__name__}, not a {kind}")
    return model.tensors


def without_negative(covariance: Tensor) -> Tensor:
    """Return symmetric matrices [..., D, D] with their negative eigenvalues set to 0."""
    values, vectors = eigh(covariance)
    positive: Tensor = (vectors * values.clamp(min=0)[..., None, :]) @ vectors.mT
    return positive


def root(covariance: Tensor) -> Tensor:
    """Return R with R R' = covariance, which may be singular; both [..., D, D]."""
    values, vectors = eigh(covariance)
    factor: Tensor = vectors * values.clamp(min=0).sqrt()[..., None, :]
    return factor


def normal_log_density(values: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """Return the log-density of N(mean, covariance) at `values`, float64 [N, D] -> [N]."""
    variances, vectors = eigh(covariance)
    # In a direction that has collapsed, everything off the mean is all but impossible.
    variances = variances.clamp(min=torch.finfo(torch.float64).tiny)

    projected = (values - mean) @ vectors  # [N, D]
    terms = projected.square() / variances + variances.log() + math.log(2 * math.pi)
    density: Tensor = -0.5 * terms.sum(1)
    return density
