"""Keys of the sections for labels of a config. Read without torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from imglab.config.section import MOST_NUMBERS, Section

Cosine = Annotated[float, Field(ge=0, le=1)]


class LabelsSettings(Section):
    """`modality:` of points from two normal classes, with their label."""

    kind: Literal["labels"] = "labels"
    dimensions: Annotated[int, Field(ge=4, le=4096)] = 200
    """Number of dimensions of a sample."""
    distance: Annotated[float, Field(gt=0, le=100)] = 1.78
    """Distance of each class's mean from 0; the best classifier is right in a share
    Phi(distance), here .962."""
    n_train: Annotated[int, Field(ge=2, le=10**8)] = 260
    """Number of real samples to train on."""
    n_test: Annotated[int, Field(ge=2, le=10**8)] = 500
    """Number of real samples held out for testing."""
    data_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of the real samples; chains of different `seed` may share it, and so their real data."""

    @model_validator(mode="after")
    def _fits_in_memory(self) -> LabelsSettings:
        numbers = (self.n_train + self.n_test) * (self.dimensions + 1)
        if numbers > MOST_NUMBERS:
            what = "n_train and n_test of so many dimensions are"
            raise ValueError(f"{what} {numbers} numbers, at most {MOST_NUMBERS}")
        return self


class LabellerSettings(Section):
    """`model:` that labels new points, of which a verifier lets some pass."""

    kind: Literal["labeller"] = "labeller"
    estimator: Literal["least_squares", "mean"] = "least_squares"
    """How the direction is fitted: least squares of labels on points, as in Feng et al. 2024, which
    learns the labels as they are; or the mean of label times point, which learns the classes."""
    verifier: Cosine | Literal["none", "oracle"] = "none"
    """What a labelled point must pass: a linear classifier whose direction has this cosine with the
    best one, and which must agree with the label; `oracle`, which knows the right label; or
    nothing."""
