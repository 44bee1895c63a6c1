"""Draws from K categories: the simplest data that have a tail which can die."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor

from imglab import seeds
from imglab.modality import Damage, Modality, Split
from imglab.samples import Samples
from imglab.solvable.categories.damage import category_damages
from imglab.solvable.categories.render import draw_bars
from imglab.solvable.categories.settings import CategoriesSettings


class CategoriesModality(Modality):
    """Draws real data, the number of a category as int64 [1], from true frequencies.

    Features are one-hot vectors, so that distances between sets are distances of frequencies.
    """

    picture: ClassVar[str] = "bars.png"
    pictures: ClassVar[Literal["each", "last"]] = "last"
    extractor = "one-hot"
    headline: ClassVar[tuple[str, ...]] = (
        "categories_alive",
        "heterozygosity",
        "fid",
        "recall",
        "coverage",
    )

    def __init__(self, settings: CategoriesSettings) -> None:
        self.frequencies = torch.tensor(settings.frequencies, dtype=torch.float64)
        """The true frequencies, float64 [K]."""
        self._seed = settings.data_seed
        self._real = {
            "train": Samples.real(self._draw(settings.n_train, "train")),
            "test": Samples.real(self._draw(settings.n_test, "test")),
        }

    def real(self, split: Split) -> Samples:
        """Return the split that `data_seed` drew."""
        return self._real[split]

    def damages(self) -> list[Damage]:
        """Return the damages of categories."""
        return category_damages(self.real("train"), len(self.frequencies))

    def fresh(self, n: int, *, first: int, seed: int) -> Samples:
        """Draw new categories from the true frequencies."""
        uniforms = seeds.uniform(range(first, first + n), seed=seed)
        return Samples.real(seeds.invert(self.frequencies, uniforms)[:, None])

    def fresh_available(self) -> int | None:
        """Return None: the stream is endless."""
        return None

    def features(self, samples: Samples) -> Tensor:
        """Return one-hot vectors, float32 [N, K]."""
        return torch.nn.functional.one_hot(samples.data[:, 0], len(self.frequencies)).float()

    def render(self, shown: Sequence[Samples], path: Path) -> None:
        """Draw the frequencies of the last generation's samples over the true ones."""
        counts = torch.bincount(shown[-1].data[:, 0], minlength=len(self.frequencies))
        draw_bars(counts.double() / counts.sum(), self.frequencies, len(shown) - 1, path)

    def _draw(self, n: int, split: Split) -> Tensor:
        generator = seeds.generator(self._seed, "categories", split)
        uniforms = torch.rand(n, dtype=torch.float64, generator=generator)
        return seeds.invert(self.frequencies, uniforms)[:, None]
