"""Vectors from a normal distribution or a mixture.

They are the loop's own ground truth, since every chain of fits is solvable.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor

from imglab import seeds
from imglab.modality import Damage, DataVectors, Modality, Split
from imglab.samples import Samples
from imglab.solvable.gaussian.damage import vector_damages
from imglab.solvable.gaussian.render import draw_scatter
from imglab.solvable.gaussian.settings import GaussianDataSettings


class Identity(DataVectors):
    """Takes the vectors themselves as features."""

    name = "identity"


class GaussianModality(Modality):
    """Draws real vectors, float32 [D], from N(0, I), or from such components in a row."""

    picture: ClassVar[str] = "scatter.png"
    pictures: ClassVar[Literal["each", "last"]] = "last"
    extractor = Identity()

    def __init__(self, settings: GaussianDataSettings) -> None:
        self._dimensions = settings.dimensions
        self._seed = settings.data_seed
        self._means = torch.tensor(settings.means)  # first coordinates, [K]
        self.between = settings.between
        """Variance along the first axis beyond 1."""
        self._real = {
            "train": Samples.real(self._draw(settings.n_train, "train")),
            "test": Samples.real(self._draw(settings.n_test, "test")),
        }

    def real(self, split: Split) -> Samples:
        """Return the split that `data_seed` drew."""
        return self._real[split]

    def damages(self) -> list[Damage]:
        """Return the damages of vectors."""
        return vector_damages(self.real("train"), self._means)

    def fresh(self, n: int, *, first: int, seed: int) -> Samples:
        """Draw new vectors from the true distribution."""
        indices = range(first, first + n)
        vectors = seeds.normal((self._dimensions,), indices, seed=seed)
        if len(self._means) > 1:
            uniforms = seeds.uniform(indices, seed=seeds.derive(seed, "component"))
            self._shift(vectors, uniforms)
        return Samples.real(vectors)

    def fresh_available(self) -> int | None:
        """Return None: the stream is endless."""
        return None

    def render(self, shown: Sequence[Samples], path: Path) -> None:
        """Draw the last generation's vectors over the true distribution."""
        draw_scatter(shown[-1].data, self._means.tolist(), len(shown) - 1, path)

    def _draw(self, n: int, split: Split) -> Tensor:
        noise = seeds.generator(self._seed, "gaussian", split)
        vectors = torch.randn(n, self._dimensions, generator=noise)
        component = seeds.generator(self._seed, "component", split)
        self._shift(vectors, torch.rand(n, dtype=torch.float64, generator=component))
        return vectors

    def _shift(self, vectors: Tensor, uniforms: Tensor) -> None:
        """Move each vector to its component, which `uniforms` [N] choose."""
        equal = torch.ones_like(self._means)
        vectors[:, 0] += self._means[seeds.invert(equal, uniforms)]
