"""Vectors from a normal distribution or a mixture: the loop's own truth, since every chain of fits is solvable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from imglab import seeds
from imglab.modality import Modality, Spec, Split
from imglab.samples import Samples
from imglab.solvable.gaussian.render import draw_scatter
from imglab.solvable.gaussian.settings import GaussianDataSettings


class GaussianModality(Modality):
    """Real data are draws from N(0, I), or from such components in a row; features are the vectors themselves."""

    picture: ClassVar[str] = "scatter.png"

    def __init__(self, settings: GaussianDataSettings) -> None:
        self._dimensions = settings.dimensions
        self._seed = settings.data_seed
        self._means = torch.tensor(settings.means)
        self.between = settings.between
        """Variance along the first axis beyond 1."""
        self._real = {
            "train": Samples.real(self._draw(settings.n_train, "train")),
            "test": Samples.real(self._draw(settings.n_test, "test")),
        }

    @property
    def spec(self) -> Spec:
        """float32 vectors [D]."""
        return Spec((self._dimensions,), torch.float32)

    @property
    def extractor(self) -> str:
        """The vectors are their own features."""
        return "identity"

    def real(self, split: Split) -> Samples:
        """Return the split that `data_seed` drew."""
        return self._real[split]

    def fresh(self, n: int, *, first: int, seed: int) -> Samples:
        """Draw anew from the true distribution."""
        indices = range(first, first + n)
        vectors = seeds.normal((self._dimensions,), indices, seed=seed)
        if len(self._means) > 1:
            self._shift(vectors, seeds.uniform(indices, seed=seeds.derive(seed, "component")))
        return Samples.real(vectors)

    def fresh_available(self) -> int | None:
        """Endless."""
        return None

    def features(self, samples: Samples) -> Tensor:
        """Return the vectors."""
        return samples.data.float()

    def render(self, shown: Sequence[Samples], path: Path) -> None:
        """Draw the last generation's vectors over the true distribution."""
        draw_scatter(shown[-1].data, self._means.tolist(), len(shown) - 1, path)

    def _draw(self, n: int, split: Split) -> Tensor:
        vectors = torch.randn(
            n, self._dimensions, generator=seeds.generator(self._seed, "gaussian", split)
        )
        chooser = seeds.generator(self._seed, "component", split)
        self._shift(vectors, torch.rand(n, dtype=torch.float64, generator=chooser))
        return vectors

    def _shift(self, vectors: Tensor, uniforms: Tensor) -> None:
        """Move each vector to its component."""
        vectors[:, 0] += self._means[seeds.invert(torch.ones_like(self._means), uniforms)]
