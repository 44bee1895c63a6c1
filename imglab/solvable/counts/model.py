"""The means of a training set of counts, which drift until nothing is left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from imglab.errors import InputError, Problem
from imglab.measures import Measures
from imglab.modality import Modality
from imglab.model import GenerativeModel, read_weights
from imglab.progress import Progress, Stage
from imglab.samples import Samples, TrainingSet
from imglab.solvable.counts.modality import CountsModality, counts, uniform_rows
from imglab.solvable.counts.settings import CountsSettings, RateSettings

BATCH = 1 << 14
"""Samples that are drawn at a time."""


class RateModel(GenerativeModel):
    """Fits Bernoulli or Poisson distributions by their means, which is the maximum likelihood."""

    def __init__(
        self,
        settings: RateSettings,
        modality: Modality | None = None,
        *,
        true: CountsSettings | None = None,
        total: Tensor | None = None,
        seen: int = 0,
    ) -> None:
        """Make a model that can be fitted to data of `modality`, or a fitted one.

        true   the true distribution; a modality has its own
        total  sums over the training set, int64 [D]; None: not fitted yet
        seen   size of the training set
        """
        if modality is not None:
            if not isinstance(modality, CountsModality):
                remedy = "use it with modality.kind: counts"
                raise InputError(Problem("model.kind", "`rate` draws counts", remedy))
            true = modality.settings
        assert true is not None

        self._settings = settings
        self._true = true
        self._total = total
        self._seen = seen

    @property
    def total(self) -> Tensor:
        """Sums over the training set, int64 [D]."""
        if self._total is None:
            raise ValueError("the model has not been fitted")
        return self._total

    @property
    def means(self) -> Tensor:
        """The fitted means, float64 [D]."""
        return self.total.double() / self._seen

    @property
    def training(self) -> Mapping[str, Any]:
        """Return that each sample was seen once, since the fit is exact."""
        return {"samples_seen": self._seen, "budget": "exact"}

    def fit(
        self,
        train: TrainingSet,
        *,
        start: GenerativeModel | None,
        seed: int,
        resume: dict[str, Tensor] | None = None,
    ) -> Stage[GenerativeModel]:
        """Add up the counts; the weights of `start` make no difference."""
        total = train.all().data.long().sum(0)
        yield Progress("fit", len(train), len(train))
        return RateModel(self._settings, true=self._true, total=total, seen=len(train))

    def draw(self, indices: range, *, conditions: Tensor | None, seed: int) -> Iterator[Samples]:
        """Yield counts, by inversion of uniform numbers that come from (seed, i)."""
        for start in range(0, len(indices), BATCH):
            batch = indices[start : start + BATCH]
            uniforms = uniform_rows(self._true.dimensions, batch, seed=seed)
            yield Samples.drawn(counts(self._true.distribution, self.means, uniforms))

    def metrics(self, samples: Samples, *, generation0: GenerativeModel, seed: int) -> Measures:
        """Compare the fitted distributions with the truth, as means over the dimensions.

        mean_error  squared distance of the fitted mean from the true one
        variance    of the fitted distribution
        collapsed   share of the dimensions that can have one value only, for ever
        """
        variance = self.means
        if self._true.distribution == "bernoulli":
            variance = self.means * (1 - self.means)
        values = {
            "mean_error": float((self.means - self._true.mean).square().mean()),
            "variance": float(variance.mean()),
            "collapsed": float((variance == 0).double().mean()),
        }
        return Measures(values)

    def weights(self) -> Mapping[str, Tensor]:  # noqa: D102
        return {"total": self.total}

    def description(self) -> Mapping[str, Any]:  # noqa: D102
        settings = self._settings.model_dump()
        true = self._true.model_dump()
        return {"kind": "rate", "settings": settings, "true": true, "seen": self._seen}

    @classmethod
    def restore(cls, description: Mapping[str, Any], path: Path) -> RateModel:  # noqa: D102
        settings = RateSettings.model_validate(description["settings"])
        true = CountsSettings.model_validate(description["true"])
        total = read_weights(path)["total"]
        return cls(settings, true=true, total=total, seen=description["seen"])
