"""Keys of the Gaussian sections of a config. Read without torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from imglab.config.section import MOST_NUMBERS, Section

Components = Annotated[int, Field(ge=1, le=1024)]

LATEST_STOP = 10
"""The longest time for which the distribution of a `stopped_diffusion` is carried on."""


class GaussianDataSettings(Section):
    """`modality:` of a Gaussian chain; real data are standard normal, or a mixture of such."""

    kind: Literal["gaussian"] = "gaussian"
    dimensions: Annotated[int, Field(ge=1, le=4096)] = 2
    """Number of dimensions of a sample."""
    n_train: Annotated[int, Field(ge=2, le=10**8)] = 500
    """Number of real samples to train on."""
    n_test: Annotated[int, Field(ge=2, le=10**8)] = 500
    """Number of real samples held out for testing."""
    components: Components = 1
    """Number of normal components, of equal weight and unit covariance.

    Their means lie in a row along the first axis, around 0.
    """
    separation: Annotated[float, Field(ge=0, le=10**3)] = 4.0
    """Distance between neighbouring means."""
    data_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of the real samples; chains of different `seed` may share it, and so their real data."""

    @model_validator(mode="after")
    def _fits_in_memory(self) -> GaussianDataSettings:
        numbers = (self.n_train + self.n_test) * self.dimensions
        if numbers > MOST_NUMBERS:
            raise ValueError(
                f"n_train and n_test of so many dimensions are {numbers} numbers, "
                f"at most {MOST_NUMBERS}"
            )
        return self

    @property
    def means(self) -> list[float]:
        """First coordinate of each component's mean; the others are 0."""
        return [
            (place - (self.components - 1) / 2) * self.separation
            for place in range(self.components)
        ]

    @property
    def between(self) -> float:
        """Variance that the components' means add along the first axis."""
        return self.separation**2 * (self.components**2 - 1) / 12


class GaussianModelSettings(Section):
    """`model:` that fits one normal distribution."""

    kind: Literal["gaussian"] = "gaussian"
    estimator: Literal["mle", "unbiased"] = "mle"
    """Whether the covariance is divided by n (`mle`) or by n - 1 (`unbiased`)."""
    sampling_bias: Annotated[float, Field(gt=0, le=1)] = 1.0
    """lambda: draw from N(mean, lambda covariance); 1 is unbiased."""


class KdeSettings(Section):
    """`model:` that blurs the training set with a normal kernel."""

    kind: Literal["kde"] = "kde"
    bandwidth: Annotated[float, Field(gt=0, le=10**3)] = 0.1
    """Standard deviation of the kernel in every dimension."""


class StoppedDiffusionSettings(Section):
    """`model:` that is a perfect diffusion model of its training set, stopped early."""

    kind: Literal["stopped_diffusion"] = "stopped_diffusion"
    stop: Annotated[float, Field(gt=0, le=LATEST_STOP)] = 0.05
    """delta: the time at which drawing stops, in units of an Ornstein-Uhlenbeck process.

    Noise of variance 1 - exp(-2 delta) is left in the samples.
    """


class MixtureSettings(Section):
    """`model:` of several normal components, fitted by expectation maximization."""

    kind: Literal["mixture"] = "mixture"
    components: Components = 2
    """Number of normal components that are fitted."""
    iterations: Annotated[int, Field(ge=1, le=10**6)] = 100
    """Largest number of steps of a fit.

    A fit ends earlier if the likelihood rises by less than `tolerance`.
    """
    tolerance: Annotated[float, Field(ge=0, le=1)] = 1e-3
    """Smallest rise of the mean log-likelihood of a sample, in nats, for which a fit goes on."""
    regularization: Annotated[float, Field(ge=0, le=1)] = 1e-9
    """Variance that is added to each component in every fit.

    Without it, a component that dies stops the chain.
    """
