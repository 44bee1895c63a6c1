"""A mixture of normal components, fitted by expectation maximization."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import torch
from torch import Tensor

from imglab import seeds
from imglab.errors import Stopped
from imglab.measures import Measures
from imglab.model import GenerativeModel
from imglab.progress import Progress, Stage
from imglab.samples import Samples, TrainingSet
from imglab.solvable.gaussian.settings import MixtureSettings
from imglab.solvable.gaussian.vector_model import BATCH, VectorModel, normal_log_density, root


class MixtureModel(VectorModel):
    """K normal components with covariances of their own (scikit-learn's `GaussianMixture`).

    After each step of expectation maximization the mixture has the mean and the covariance (divided by n) of its
    training set, whatever the components are; so the moments of a chain follow the same law as a single Gaussian's.
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
        return mean, torch.einsum("k,kij->ij", weights, covariances) + (
            weights * offsets.T
        ) @ offsets

    def check_start(self, start: GenerativeModel) -> MixtureModel:
        """Check that `start` has as many components."""
        if not isinstance(start, MixtureModel):
            raise ValueError(f"a mixture cannot start from a {type(start).__name__}")
        found, asked = len(start.components[0]), self._settings.components
        if found != asked:
            raise ValueError(f"a mixture of {asked} components cannot start from one of {found}")
        return start

    def fit(
        self,
        train: TrainingSet,
        *,
        start: GenerativeModel | None,
        seed: int,
        resume: dict[str, Tensor] | None = None,
    ) -> Stage[GenerativeModel]:
        """Climb the likelihood from the components of `start`, or from a k-means clustering seeded by `seed`."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        data, settings = train.all().data.double().numpy(), self._settings
        given = {}
        if start is not None:
            weights, means, covariances = self.check_start(start).components
            precisions = torch.linalg.inv(covariances)
            given = {
                "weights_init": weights.numpy(),
                "means_init": means.numpy(),
                "precisions_init": ((precisions + precisions.mT) / 2).numpy(),
            }
        mixture = GaussianMixture(
            settings.components,
            tol=settings.tolerance,
            reg_covar=settings.regularization,
            max_iter=settings.iterations,
            random_state=seed % 2**32,
            **given,
        )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # `iterations` is a budget
                mixture.fit(data)
        except ValueError as error:
            what = (
                f"no mixture of {settings.components} components fits {len(data)} samples: {error}"
            )
            raise Stopped(
                f"{what} Lower model.components, or raise model.regularization"
            ) from error
        names = ("weights", "means", "covariances")
        fitted = {
            name: torch.from_numpy(getattr(mixture, f"{name}_")).contiguous() for name in names
        }
        yield Progress("fit", len(data), len(data))
        return self._fitted(fitted, len(data))

    def draw(self, indices: range, *, conditions: Tensor | None, seed: int) -> Iterator[Samples]:
        """Yield mean_k + root(covariance_k) z, k and z from (seed, i)."""
        weights, means, covariances = self.components
        factors, choice = root(covariances), seeds.derive(seed, "component")
        for start in range(0, len(indices), BATCH):
            batch = indices[start : start + BATCH]
            chosen = seeds.invert(weights, seeds.uniform(batch, seed=choice))
            vectors = seeds.normal(means.shape[1:], batch, seed=seed).double()
            for k in range(len(weights)):
                rows = chosen == k
                vectors[rows] = means[k] + vectors[rows] @ factors[k].T
            yield Samples.drawn(vectors.float())

    def metrics(self, samples: Samples, *, generation0: GenerativeModel, seed: int) -> Measures:
        """Measure the moments of the whole, and the components.

        component_sigma   root of the mean variance over components and dimensions
        component_sigmas  the same of each component by number
        """
        variances = self.components[2].diagonal(dim1=1, dim2=2).mean(1)
        apart = {str(k + 1): value for k, value in enumerate(variances.sqrt().tolist())}
        whole = super().metrics(samples, generation0=generation0, seed=seed)
        own = Measures(
            {"component_sigma": float(variances.mean().sqrt()), "component_sigmas": apart}
        )
        return Measures.joined([own, whole])

    def log_density(self, samples: Samples) -> Tensor:
        """Return log sum_k w_k N(x; mean_k, covariance_k), float64 [N]."""
        values = samples.data.double()
        parts = [
            normal_log_density(values, mean, spread) + weight.log()
            for weight, mean, spread in zip(*self.components, strict=True)
        ]
        return torch.stack(parts).logsumexp(0)
