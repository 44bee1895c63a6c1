"""Keys of the sections for counts of a config. Read without torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from imglab.config.section import MOST_NUMBERS, Section


class CountsSettings(Section):
    """`modality:` of a chain of Bernoulli or Poisson draws."""

    kind: Literal["counts"] = "counts"
    distribution: Literal["bernoulli", "poisson"] = "poisson"
    """Distribution of a draw."""
    mean: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Expected value of a draw: the chance of a 1, or the rate of the Poisson distribution."""
    dimensions: Annotated[int, Field(ge=1, le=4096)] = 1
    """Number of independent counts in a sample, each with a mean of its own that is fitted."""
    n_train: Annotated[int, Field(ge=2, le=10**8)] = 100
    """Number of real samples to train on."""
    n_test: Annotated[int, Field(ge=2, le=10**8)] = 500
    """Number of real samples held out for testing."""
    data_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of the real samples; chains of different `seed` may share it, and so their real data."""

    @model_validator(mode="after")
    def _is_possible(self) -> CountsSettings:
        if self.distribution == "bernoulli" and self.mean >= 1:
            raise ValueError("mean is the chance of a 1, below 1")
        numbers = (self.n_train + self.n_test) * self.dimensions
        if numbers > MOST_NUMBERS:
            what = "n_train and n_test of so many dimensions are"
            raise ValueError(f"{what} {numbers} numbers, at most {MOST_NUMBERS}")
        return self

    @property
    def variance(self) -> float:
        """Variance of a draw."""
        if self.distribution == "bernoulli":
            return self.mean * (1 - self.mean)
        return self.mean


class RateSettings(Section):
    """`model:` that fits the mean of counts."""

    kind: Literal["rate"] = "rate"
