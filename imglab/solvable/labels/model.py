"""A linear classifier that labels new points, and is fitted to the labels that pass a verifier."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from imglab import seeds
from imglab.errors import InputError, Problem
from imglab.measures import Measures
from imglab.modality import Modality
from imglab.model import GenerativeModel, read_weights
from imglab.progress import Progress, Stage
from imglab.samples import Samples, TrainingSet
from imglab.solvable.labels.modality import LabelsModality, points
from imglab.solvable.labels.settings import LabellerSettings, LabelsSettings
from imglab.solvable.regression.model import ridge

BATCH = 4096
"""Points that are drawn at a time."""


class LabellerModel(GenerativeModel):
    """A linear classifier without an intercept, by least squares or as the mean of y x.

    Feng et al. 2024 ("Beyond Model Collapse", 2406.07515).
    """

    def __init__(
        self,
        settings: LabellerSettings,
        modality: Modality | None = None,
        *,
        data: LabelsSettings | None = None,
        direction: Tensor | None = None,
        seen: int = 0,
    ) -> None:
        """Make a model that can be fitted to data of `modality`, or a fitted one.

        data       the true distribution; a modality has its own
        direction  w, float64 [d]: the label of x is the sign of x w; None: not fitted yet
        seen       size of the training set
        """
        if modality is not None:
            if not isinstance(modality, LabelsModality):
                remedy = "use it with modality.kind: labels"
                raise InputError(Problem("model.kind", "`labeller` labels points", remedy))
            data = modality.settings
        assert data is not None

        self._settings = settings
        self._data = data
        self._direction = direction
        self._seen = seen

    @property
    def direction(self) -> Tensor:
        """w, float64 [d]: the label of x is the sign of x w."""
        if self._direction is None:
            raise ValueError("the model has not been fitted")
        return self._direction

    @property
    def training(self) -> Mapping[str, Any]:
        """Return that each point was seen once, since the fit is exact."""
        return {"samples_seen": self._seen, "budget": "exact"}

    def fit(
        self,
        train: TrainingSet,
        *,
        start: GenerativeModel | None,
        seed: int,
        resume: dict[str, Tensor] | None = None,
    ) -> Stage[GenerativeModel]:
        """Fit the direction; the weights of `start` make no difference."""
        data = train.all().data.double()
        direction = (data[:, :-1] * data[:, -1:]).mean(0)
        if self._settings.estimator == "least_squares":
            direction = ridge(data[:, :-1], data[:, -1], penalty=0.0)
        yield Progress("fit", len(data), len(data))
        return LabellerModel(self._settings, data=self._data, direction=direction, seen=len(data))

    def draw(self, indices: range, *, conditions: Tensor | None, seed: int) -> Iterator[Samples]:
        """Yield labelled points that pass the verifier.

        Point i is the first to pass of a row of points, all of which come from (seed, i).
        """
        for start in range(0, len(indices), BATCH):
            batch = indices[start : start + BATCH]
            passed = torch.empty(len(batch), self._data.dimensions + 1)
            waiting = torch.arange(len(batch))

            attempt = 0
            while len(waiting):
                rows = [batch[row] for row in waiting.tolist()]
                of_attempt = seeds.derive(seed, attempt)
                real = points(seeds.normal(passed.shape[1:], rows, seed=of_attempt), self._distance)
                labelled = self._labelled(real)

                passes = self._passes(labelled, right=real[:, -1])
                passed[waiting[passes]] = labelled[passes]
                waiting = waiting[~passes]
                attempt += 1
            yield Samples.drawn(passed)

    @property
    def _distance(self) -> float:
        return self._data.distance

    def _labelled(self, real: Tensor) -> Tensor:
        """Return points [N, d + 1] with the labels that this model gives them."""
        labelled = real.clone()
        labels = (real[:, :-1].double() @ self.direction).sign()
        labelled[:, -1] = labels.where(labels != 0, torch.ones_like(labels))
        return labelled

    def _passes(self, labelled: Tensor, right: Tensor) -> Tensor:
        """Say which labelled points pass the verifier, bool [N]; `right` are the true labels."""
        verifier = self._settings.verifier
        labels = labelled[:, -1]
        if verifier == "none":
            return torch.ones(len(labels)).bool()
        if verifier == "oracle":
            return labels == right

        # The verifier's direction lies in the plane of the first two axes.
        assert isinstance(verifier, float)
        judged = verifier * labelled[:, 0] + math.sqrt(1 - verifier**2) * labelled[:, 1]
        return judged * labels > 0

    def metrics(self, samples: Samples, *, generation0: GenerativeModel, seed: int) -> Measures:
        """Measure the fitted classifier against the true classes.

        accuracy  share of real points that it labels right: Phi(distance cosine)
        cosine    of its direction with the best one
        """
        cosine = float(self.direction[0] / self.direction.norm())
        accuracy = 0.5 * math.erfc(-self._distance * cosine / math.sqrt(2))
        return Measures({"accuracy": accuracy, "cosine": cosine})

    def weights(self) -> Mapping[str, Tensor]:  # noqa: D102
        return {"direction": self.direction}

    def description(self) -> Mapping[str, Any]:  # noqa: D102
        return {
            "kind": "labeller",
            "settings": self._settings.model_dump(),
            "data": self._data.model_dump(),
            "seen": self._seen,
        }

    @classmethod
    def restore(cls, description: Mapping[str, Any], path: Path) -> LabellerModel:  # noqa: D102
        settings = LabellerSettings.model_validate(description["settings"])
        data = LabelsSettings.model_validate(description["data"])
        direction = read_weights(path)["direction"]
        return cls(settings, data=data, direction=direction, seen=description["seen"])
