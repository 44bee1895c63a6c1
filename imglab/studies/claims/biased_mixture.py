"""A mixture whose sampler seeks modes, or diversity: what the sign law of Neon is about."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from imglab import seeds
from imglab.measures import Measures
from imglab.modality import Modality
from imglab.model import GenerativeModel
from imglab.samples import Samples
from imglab.solvable.gaussian.mixture import MixtureModel
from imglab.solvable.gaussian.settings import MixtureSettings

if TYPE_CHECKING:
    from typing_extensions import Self

POINTS = 4000
"""Points of the true distribution at which a model is judged: the same for all models."""


class BiasedMixture(MixtureModel):
    """A mixture of which draws have `bias` times the covariance of each component.

    A bias below 1 seeks modes, as few steps or a low temperature do; one above 1 seeks diversity.
    """

    def __init__(
        self,
        *,
        modality: Modality | None = None,
        components: int = 2,
        bias: float = 1.0,
        fitted: Mapping[str, Tensor] | None = None,
        seen: int = 0,
        between: float = 0.0,
    ) -> None:
        settings = MixtureSettings(components=components)
        super().__init__(settings, modality, fitted=fitted, seen=seen, between=between)
        self.bias = bias

    def draw(self, indices: range, *, conditions: Tensor | None, seed: int) -> Iterator[Samples]:
        """Yield draws of the mixture with the biased covariances."""
        covariances = self.tensors["covariances"] * self.bias
        biased = self._fitted({**self.tensors, "covariances": covariances}, 0)
        yield from MixtureModel.draw(biased, indices, conditions=conditions, seed=seed)

    def metrics(self, samples: Samples, *, generation0: GenerativeModel, seed: int) -> Measures:
        """Add the population risk: mean negative log-likelihood of the truth, in nats.

        population_risk  of the weights, whatever the sampler's bias, at points of two unit normal
                         components, the true distribution
        """
        of_mixture = super().metrics(samples, generation0=generation0, seed=seed)
        risk = -float(self.log_density(Samples.real(self._truth())).mean())
        return Measures.joined([of_mixture, Measures({"population_risk": risk})])

    def _truth(self) -> Tensor:
        """Return points of the true distribution, float32 [POINTS, D]."""
        generator = seeds.generator("biased mixture", "truth")
        points = torch.randn(POINTS, self.tensors["means"].shape[1], generator=generator)
        points[::2, 0] += math.sqrt(self._between)
        points[1::2, 0] -= math.sqrt(self._between)
        return points

    def _fitted(self, tensors: Mapping[str, Tensor], seen: int) -> Self:
        components = self._settings.components
        return type(self)(
            components=components, bias=self.bias, fitted=tensors, seen=seen, between=self._between
        )

    def description(self) -> Mapping[str, Any]:  # noqa: D102
        return {**super().description(), "bias": self.bias}
