"""Draws from K categories: the plainest data whose tail can die."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from imglab import seeds
from imglab.modality import Modality, Spec, Split
from imglab.samples import Samples
from imglab.solvable.categories.render import draw_bars
from imglab.solvable.categories.settings import CategoriesSettings


class CategoriesModality(Modality):
    """Real data are draws from true frequencies; features are one-hot, so distances are between frequencies."""

    picture: ClassVar[str] = "bars.png"
    headline: ClassVar[tuple[str, ...]] = (
        "categories_alive",
        "heterozygosity",
        "fid",
        "recall",
        "coverage",
    )

    def __init__(self, settings: CategoriesSettings) -> None:
        self.frequencies = torch.tensor(settings.frequencies, dtype=torch.float64)
        """The truth, float64 [K]."""
        self._seed = settings.data_seed
        self._real = {
            "train": Samples.real(self._draw(settings.n_train, "train")),
            "test": Samples.real(self._draw(settings.n_test, "test")),
        }

    @property
    def spec(self) -> Spec:
        """int64 [1], the number of a category."""
        return Spec((1,), torch.int64)

    @property
    def extractor(self) -> str:
        """One-hot vectors."""
        return "one-hot"

    def real(self, split: Split) -> Samples:
        """Return the split that `data_seed` drew."""
        return self._real[split]

    def fresh(self, n: int, *, first: int, seed: int) -> Samples:
        """Draw anew from the true frequencies."""
        uniforms = seeds.uniform(range(first, first + n), seed=seed)
        return Samples.real(seeds.invert(self.frequencies, uniforms)[:, None])

    def fresh_available(self) -> int | None:
        """Endless."""
        return None

    def features(self, samples: Samples) -> Tensor:
        """Return one-hot vectors, float32 [N, K]."""
        return torch.nn.functional.one_hot(samples.data[:, 0], len(self.frequencies)).float()

    def render(self, shown: Sequence[Samples], path: Path) -> None:
        """Draw how often the last generation drew each category, over the truth."""
        counts = torch.bincount(shown[-1].data[:, 0], minlength=len(self.frequencies))
        draw_bars(counts.double() / counts.sum(), self.frequencies, len(shown) - 1, path)

    def _draw(self, n: int, split: Split) -> Tensor:
        drawer = seeds.generator(self._seed, "categories", split)
        return seeds.invert(self.frequencies, torch.rand(n, dtype=torch.float64, generator=drawer))[
            :, None
        ]
