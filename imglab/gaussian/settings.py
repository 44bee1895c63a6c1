"""Keys of the Gaussian sections of a config. Read without torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from imglab.settings import Section


class GaussianDataSettings(Section):
    """`modality:` of a Gaussian chain; the real distribution is standard normal."""

    kind: Literal["gaussian"] = "gaussian"
    dimensions: Annotated[int, Field(ge=1, le=4096)] = 2
    n_train: Annotated[int, Field(ge=2, le=10**8)] = 500
    n_test: Annotated[int, Field(ge=2, le=10**8)] = 500
    data_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """The real samples are drawn with it: chains of another `seed` may share them or not."""


class GaussianModelSettings(Section):
    """`model:` of a Gaussian chain."""

    kind: Literal["gaussian"] = "gaussian"
    estimator: Literal["mle", "unbiased"] = "mle"
    """Covariance divided by n (`mle`) or by n - 1 (`unbiased`)."""
    sampling_bias: Annotated[float, Field(gt=0, le=1)] = 1.0
    """lambda: draw from N(mean, lambda covariance); 1 is unbiased."""
