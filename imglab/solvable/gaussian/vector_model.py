"""What all models of vectors share: parameters as named tensors, moments against the truth, the folder on disk."""

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
from imglab.modality import Modality
from imglab.model import GenerativeModel, read_weights
from imglab.samples import Samples
from imglab.solvable.gaussian.modality import GaussianModality

if TYPE_CHECKING:
    from typing_extensions import Self

BATCH = 4096


class VectorModel(GenerativeModel):
    """A distribution over vectors [D] with known moments."""

    kind: ClassVar[str]
    """The kind in a config."""
    settings_class: ClassVar[type[Section]]
    """Its keys there."""
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
        """Make a model for `modality`, or one of these `fitted` tensors.

        between  variance that the real distribution has along the first axis beyond 1; the modality's, where given
        """
        if modality is not None and (
            len(modality.spec.shape) != 1 or not modality.spec.dtype.is_floating_point
        ):
            raise InputError(
                Problem(
                    "model.kind",
                    f"`{self.kind}` draws vectors",
                    "use it with modality.kind: gaussian",
                )
            )
        self._settings = settings
        self._tensors = fitted
        self._seen = seen
        self._between = modality.between if isinstance(modality, GaussianModality) else between

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

    def metrics(self, samples: Samples, *, generation0: GenerativeModel, seed: int) -> Measures:
        """Compare the fitted moments with the truth.

        mean_error  squared distance of the fitted mean from the true one, 0
        variance    mean of the fitted covariance's diagonal; 1 where the truth is N(0, I)
        w2          squared 2-Wasserstein distance between the normal distributions of the fitted and the true moments
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

    def _fitted(self, tensors: Mapping[str, Tensor], seen: int) -> Self:
        return type(self)(self._settings, fitted=tensors, seen=seen, between=self._between)


def moment_measures(mean: Tensor, covariance: Tensor, *, between: float = 0.0) -> dict[str, float]:
    """Return mean_error, variance and w2 of a normal distribution with this mean [D] and covariance [D, D].

    The truth is N(0, diag(1 + between, 1, 1, ..)).
    """
    true_deviations = torch.ones(len(mean), dtype=torch.float64)
    true_deviations[0] = math.sqrt(1 + between)
    crossed = (
        torch.linalg.eigvalsh(true_deviations[:, None] * covariance * true_deviations)
        .clamp(min=0)
        .sqrt()
    )
    traces = covariance.trace() + true_deviations.square().sum()
    mean_error = float(mean.square().sum())
    return {
        "mean_error": mean_error,
        "variance": float(covariance.diagonal().mean()),
        "w2": mean_error + max(0.0, float(traces - 2 * crossed.sum())),
    }


def root(covariance: Tensor) -> Tensor:
    """Return R with R R' = covariance, which may be singular; both [..., D, D]."""
    values, vectors = torch.linalg.eigh(covariance)
    factor: Tensor = vectors * values.clamp(min=0).sqrt()[..., None, :]
    return factor


def normal_log_density(values: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """Return the log-density of N(mean, covariance) at `values`, float64 [N, D] -> [N]."""
    spread, vectors = torch.linalg.eigh(covariance)
    spread = spread.clamp(
        min=torch.finfo(torch.float64).tiny
    )  # a collapsed direction: all off it is impossible
    within = (values - mean) @ vectors
    density: Tensor = -0.5 * (within.square() / spread + spread.log() + math.log(2 * math.pi)).sum(
        1
    )
    return density
