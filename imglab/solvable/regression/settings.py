"""Keys of the regression sections of a config. Read without torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from imglab.config.section import MOST_NUMBERS, Section


class RegressionDataSettings(Section):
    """`modality:` of pairs (x, y): y = x beta + noise, where x is standard normal."""

    kind: Literal["regression"] = "regression"
    dimensions: Annotated[int, Field(ge=1, le=4096)] = 10
    """d, the number of inputs."""
    noise: Annotated[float, Field(ge=0, le=10**3)] = 1.0
    """sigma, the standard deviation of the noise on y, in real data and in what models draw."""
    signal: Annotated[float, Field(ge=0, le=10**3)] = 1.0
    """Length of the true coefficients beta."""
    inputs: Literal["same", "fresh"] = "same"
    """Where the inputs of synthetic pairs come from: those of the real training set in every
    generation (`same`), as in Gerstgrasser et al. 2024, or new ones (`fresh`)."""
    n_train: Annotated[int, Field(ge=2, le=10**8)] = 50
    """Number of real samples to train on."""
    n_test: Annotated[int, Field(ge=2, le=10**8)] = 500
    """Number of real samples held out for testing."""
    data_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of the real samples; chains of different `seed` may share it, and so their real data."""

    @model_validator(mode="after")
    def _fits_in_memory(self) -> RegressionDataSettings:
        numbers = (self.n_train + self.n_test) * (self.dimensions + 1)
        if numbers > MOST_NUMBERS:
            what = "n_train and n_test of so many dimensions are"
            raise ValueError(f"{what} {numbers} numbers, at most {MOST_NUMBERS}")
        return self


class RidgeSettings(Section):
    """`model:` that is a ridge regression, and draws responses with the true noise."""

    kind: Literal["ridge"] = "ridge"
    penalty: Annotated[float, Field(ge=0, le=10**6)] = 0.0
    """lambda in (X'X / N + lambda I)^-1 X'y / N; 0 is the least-squares fit of least length."""
