"""The frequencies of a training set; resampled again and again, they drift as alleles do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from imglab import seeds
from imglab.config.section import Section
from imglab.errors import InputError, Problem
from imglab.measures import Measures
from imglab.modality import Modality
from imglab.model import GenerativeModel, read_weights
from imglab.progress import Progress, Stage
from imglab.samples import Samples, TrainingSet
from imglab.solvable.categories.modality import CategoriesModality
from imglab.solvable.categories.settings import FrequenciesSettings

if TYPE_CHECKING:
    from typing_extensions import Self

BATCH = 1 << 16
"""Samples that are drawn at a time."""

BANDS = 10
"""Bands of equal size, from the rarest categories to the most frequent, for `survival`."""


class FrequenciesModel(GenerativeModel):
    """Counts the categories and draws in proportion: the Wright-Fisher model of genetic drift.

    Each category is one allele.
    """

    settings_class: ClassVar[type[Section]] = FrequenciesSettings
    """The keys of its section in a config."""

    def __init__(
        self,
        settings: Section,
        modality: Modality | None = None,
        *,
        true: Tensor | None = None,
        counts: Tensor | None = None,
    ) -> None:
        """Make a model that can be fitted to data of `modality`, or a fitted one.

        true    the true frequencies, float64 [K]; a modality has its own
        counts  how often the training set had each category, int64 [K]; None: not fitted yet
        """
        if modality is not None:
            if not isinstance(modality, CategoriesModality):
                what = f"`{settings.kind}` draws categories"  # type: ignore[attr-defined]
                remedy = "use it with modality.kind: categories"
                raise InputError(Problem("model.kind", what, remedy))
            true = modality.frequencies
        assert true is not None

        self._settings = settings
        self.true = true
        """The true frequencies, float64 [K]."""
        self._counts = counts

    @property
    def counts(self) -> Tensor:
        """How often the training set had each category, int64 [K], or weighted, float64 [K]."""
        if self._counts is None:
            raise ValueError("the model has not been fitted")
        return self._counts

    @property
    def frequencies(self) -> Tensor:
        """The fitted frequencies, float64 [K]."""
        return self.counts.double() / self.counts.sum()

    @property
    def training(self) -> Mapping[str, Any]:
        """Return that each sample was seen once, since the fit is exact."""
        return {"samples_seen": round(float(self.counts.sum())), "budget": "exact"}

    def fit(
        self,
        train: TrainingSet,
        *,
        start: GenerativeModel | None,
        seed: int,
        resume: dict[str, Tensor] | None = None,
    ) -> Stage[GenerativeModel]:
        """Count the categories, weighted where the training set is; `start` makes no difference."""
        counts = torch.bincount(train.all().data[:, 0], train.weights, minlength=len(self.true))
        yield Progress("fit", len(train), len(train))
        return type(self)(self._settings, true=self.true, counts=counts)

    def check_weights(self) -> None:
        """Do nothing: a fit reads the weights of its training set, whatever the settings are."""

    def moved_away(self, other: GenerativeModel, w: float) -> Self:
        """Return a model with the frequencies (1 + w) self - w other (`imglab.remedies.neon`).

        What would be negative is 0.
        """
        if not isinstance(other, FrequenciesModel) or len(other.counts) != len(self.counts):
            raise ValueError("architecture differs: it has no frequencies of as many categories")
        moved = (self.frequencies + w * (self.frequencies - other.frequencies)).clamp(min=0)
        return type(self)(self._settings, true=self.true, counts=moved * self.counts.sum())

    def draw(self, indices: range, *, conditions: Tensor | None, seed: int) -> Iterator[Samples]:
        """Yield categories, each by inversion of a uniform number that comes from (seed, i)."""
        for start in range(0, len(indices), BATCH):
            uniforms = seeds.uniform(indices[start : start + BATCH], seed=seed)
            yield Samples.drawn(seeds.invert(self.counts, uniforms)[:, None])

    def metrics(self, samples: Samples, *, generation0: GenerativeModel, seed: int) -> Measures:
        """Measure what is left of the true categories.

        categories_alive  number of categories that can still be drawn
        heterozygosity    1 - sum p^2: the chance that two draws differ
        survival          share of categories alive in each tenth of them, "1" the truly rarest;
                          categories of equal frequency are in one tenth
        """
        is_alive = self.counts > 0  # [K]

        # A category's band follows from how many are rarer.
        rarer = torch.searchsorted(self.true.sort().values, self.true)
        bands = rarer * BANDS // len(self.true)
        survival = {}
        for band in bands.unique().tolist():
            survival[str(band + 1)] = float(is_alive[bands == band].double().mean())

        values = {
            "categories_alive": int(is_alive.sum()),
            "heterozygosity": float(1 - self.frequencies.square().sum()),
            "survival": survival,
        }
        return Measures(values)

    def log_density(self, samples: Samples) -> Tensor:
        """Return log p of each sample's category, float64 [N]; -inf where it has died."""
        return self.frequencies.log()[samples.data[:, 0]]

    def weights(self) -> Mapping[str, Tensor]:  # noqa: D102
        return {"counts": self.counts, "true": self.true}

    def description(self) -> Mapping[str, Any]:  # noqa: D102
        settings = self._settings.model_dump()
        return {"kind": settings["kind"], "settings": settings}

    @classmethod
    def restore(cls, description: Mapping[str, Any], path: Path) -> Self:  # noqa: D102
        settings = cls.settings_class.model_validate(description["settings"])
        tensors = read_weights(path)
        return cls(settings, true=tensors["true"], counts=tensors["counts"])
