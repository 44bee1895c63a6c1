"""A mixture of normal components, fitted by expectation maximization."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor

from imglab import seeds
from imglab.errors import Stopped
from imglab.measures import Measures
from imglab.model import GenerativeModel
from imglab.progress import Progress, Stage
from imglab.samples import Samples, TrainingSet
from imglab.solvable.gaussian.settings import MixtureSettings
from imglab.solvable.gaussian.vector_model import (
    BATCH,
    VectorModel,
    normal_log_density,
    root,
    vector_tensors,
    without_negative,
)
from imglab.training.moving import moved_tensors


class MixtureModel(VectorModel):
    """K normal components with separate covariances (scikit-learn's `GaussianMixture`).

    After each step of expectation maximization the mixture has the mean and the covariance (divided
    by n) of its training set, whatever the components are. So the moments of a chain follow the
    same law as a single Gaussian's.
    """

    kind = "mixture"
    settings_class = MixtureSettings
    budget = "expectation maximization"
    _settings: MixtureSettings

    @property
    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weights [K], means [K, D] and covariances [K, D, D], float64."""
        return self.tensors["weights"], self.tensors["means"], self.tensors["covariances"]

    @property
    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and covariance of the whole mixture."""
        weights, means, covariances = self.components
        mean = weights @ means
        offsets = means - mean

        within = torch.einsum("k,kij->ij", weights, covariances)
        between = (weights * offsets.T) @ offsets
        return mean, within + between

    def check_start(self, start: GenerativeModel) -> MixtureModel:
        """Return `start`; ValueError unless it is a mixture of as many components."""
        if not isinstance(start, MixtureModel):
            raise ValueError(f"a mixture cannot start from a {type(start).__name__}")

        components = self._settings.components
        of_start = len(start.components[0])
        if of_start != components:
            what = f"a mixture of {components} components cannot start from one of {of_start}"
            raise ValueError(what)
        return start

    def fit(
        self,
        train: TrainingSet,
        *,
        start: GenerativeModel | None,
        seed: int,
        resume: dict[str, Tensor] | None = None,
    ) -> Stage[GenerativeModel]:
        """Climb the likelihood from the components of `start`.

        Without `start` it climbs from a k-means clustering that is seeded by `seed`. Raises Stopped
        where no mixture can be fitted.
        """
        data = train.all().data.double()
        initial = {}
        if start is not None:
            initial = _initial_values(self.check_start(start))

        fitted = self._climb(data, initial, seed=seed)
        yield Progress("fit", len(data), len(data))
        return self._fitted(fitted, len(data))

    def _climb(self, data: Tensor, initial: dict[str, Any], *, seed: int) -> dict[str, Tensor]:
        """Return the tensors of a mixture fitted to float64 [N, D], by name."""
        settings = self._settings
        mixture = GaussianMixture(
            settings.components,
            tol=settings.tolerance,
            reg_covar=settings.regularization,
            max_iter=settings.iterations,
            random_state=seed % 2**32,
            **initial,
        )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # `iterations` is a budget
                mixture.fit(data.numpy())
        except ValueError as error:
            what = f"no mixture of {settings.components} components fits {len(data)} samples"
            remedy = "Lower model.components, or raise model.regularization"
            raise Stopped(f"{what}: {error} {remedy}") from error

        fitted = {
            "weights": mixture.weights_,
            "means": mixture.means_,
            "covariances": mixture.covariances_,
        }
        return {name: torch.from_numpy(array).contiguous() for name, array in fitted.items()}

    def moved_away(self, other: GenerativeModel, w: float) -> MixtureModel:
        """Return a mixture with the parameters (1 + w) self - w other (`imglab.remedies.neon`).

        Component k of `other` stands for component k of this one, as it does where a fit started
        from this one. What would be negative of a weight or a covariance is 0.
        """
        tensors = moved_tensors(self.tensors, vector_tensors(other, self.kind), w)
        positive = tensors["weights"].clamp(min=0)
        tensors["weights"] = positive / positive.sum()
        tensors["covariances"] = without_negative(tensors["covariances"])
        return self._fitted(tensors, self._seen + other.training["samples_seen"])

    def _diffused(self, signal: float, noise: float) -> MixtureModel:
        weights, means, covariances = self.components
        blur = noise * torch.eye(means.shape[1], dtype=torch.float64)
        tensors = {
            "weights": weights,
            "means": means * signal,
            "covariances": covariances * signal**2 + blur,
        }
        return self._fitted(tensors, self._seen)

    def draw(self, indices: range, *, conditions: Tensor | None, seed: int) -> Iterator[Samples]:
        """Yield mean_k + root(covariance_k) z, where k and z come from (seed, i)."""
        weights, means, covariances = self.components
        factors = root(covariances)

        for start in range(0, len(indices), BATCH):
            batch = indices[start : start + BATCH]
            uniforms = seeds.uniform(batch, seed=seeds.derive(seed, "component"))
            component = seeds.invert(weights, uniforms)  # [B]

            vectors = seeds.normal(means.shape[1:], batch, seed=seed).double()  # [B, D]
            for k in range(len(weights)):
                rows = component == k
                vectors[rows] = means[k] + vectors[rows] @ factors[k].T
            yield Samples.drawn(vectors.float())

    def metrics(self, samples: Samples, *, generation0: GenerativeModel, seed: int) -> Measures:
        """Measure the moments of the whole mixture, and the components.

        component_sigma   root of the mean variance over components and dimensions
        component_sigmas  the same for each component, by its number
        """
        variances = self.components[2].diagonal(dim1=1, dim2=2).mean(1)  # [K]
        sigmas = {str(k + 1): sigma for k, sigma in enumerate(variances.sqrt().tolist())}
        of_components = Measures(
            {"component_sigma": float(variances.mean().sqrt()), "component_sigmas": sigmas}
        )
        of_whole = super().metrics(samples, generation0=generation0, seed=seed)
        return Measures.joined([of_components, of_whole])

    def log_density(self, samples: Samples) -> Tensor:
        """Return log sum_k w_k N(x; mean_k, covariance_k), float64 [N]."""
        values = samples.data.double()
        parts = [
            normal_log_density(values, mean, covariance) + weight.log()
            for weight, mean, covariance in zip(*self.components, strict=True)
        ]
        return torch.stack(parts).logsumexp(0)


def _initial_values(start: MixtureModel) -> dict[str, Any]:
    """Return scikit-learn's names and values for a climb from the components of `start`."""
    weights, means, covariances = start.components
    precisions = torch.linalg.inv(covariances)
    symmetric = (precisions + precisions.mT) / 2
    return {
        "weights_init": weights.numpy(),
        "means_init": means.numpy(),
        "precisions_init": symmetric.numpy(),
    }
