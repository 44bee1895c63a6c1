"""Bernoulli and Poisson draws: the discrete chains of Suresh et al. 2024 (2412.17646)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from imglab import seeds
from imglab.modality import Modality, Split
from imglab.samples import Samples
from imglab.solvable.counts.settings import CountsSettings
from imglab.solvable.plots import save_plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TAIL = 12
"""Standard deviations above the mean at which the table of chances of a Poisson draw ends."""


class CountsModality(Modality):
    """Draws real counts, float32 [D], with the true mean."""

    picture: ClassVar[str] = "counts.png"
    headline: ClassVar[tuple[str, ...]] = ("mean_error", "variance", "collapsed", "fid")

    def __init__(self, settings: CountsSettings) -> None:
        self.settings = settings
        """The true distribution."""
        self._means = torch.full((settings.dimensions,), settings.mean, dtype=torch.float64)
        self._real: dict[Split, Samples] = {}
        sizes: tuple[tuple[Split, int], ...] = (
            ("train", settings.n_train),
            ("test", settings.n_test),
        )
        for split, n in sizes:
            generator = seeds.generator(settings.data_seed, "counts", split)
            shape = (n, settings.dimensions)
            uniforms = torch.rand(shape, dtype=torch.float64, generator=generator)
            self._real[split] = Samples.real(counts(settings.distribution, self._means, uniforms))

    def real(self, split: Split) -> Samples:
        """Return the split that `data_seed` drew."""
        return self._real[split]

    def fresh(self, n: int, *, first: int, seed: int) -> Samples:
        """Draw new counts from the true distribution."""
        uniforms = uniform_rows(self.settings.dimensions, range(first, first + n), seed=seed)
        return Samples.real(counts(self.settings.distribution, self._means, uniforms))

    def fresh_available(self) -> int | None:
        """Return None: the stream is endless."""
        return None

    def render(self, shown: Sequence[Samples], path: Path) -> None:
        """Draw how often the last generation drew each count, over its share of real data."""
        drawn = shown[-1].data.flatten().long()
        real = self.real("test").data.flatten().long()
        most = int(torch.maximum(drawn.max(), real.max()))

        def draw(axes: Axes) -> None:
            edges = [number - 0.5 for number in range(most + 2)]
            axes.stairs(_shares(drawn, most), edges, fill=True, color="#4c78a8")
            axes.stairs(_shares(real, most), edges, color="#888888")
            axes.set(xlabel="count", ylabel="share")

        save_plot(draw, f"generation {len(shown) - 1}", path)


def counts(distribution: str, means: Tensor, uniforms: Tensor) -> Tensor:
    """Return draws with these means [D] by inversion of uniforms [N, D], float32 [N, D]."""
    if distribution == "bernoulli":
        return (uniforms < means).float()

    # P(j) of each count j, as far as it can occur: [D, J].
    most = int(means.max() + TAIL * means.max().sqrt()) + TAIL
    numbers = torch.arange(most + 1, dtype=torch.float64)
    log_chances = torch.xlogy(numbers, means[:, None]) - torch.lgamma(numbers + 1)
    columns = [
        seeds.invert(chances, uniforms[:, column])
        for column, chances in enumerate(log_chances.exp())
    ]
    return torch.stack(columns, 1).float()


def uniform_rows(width: int, indices: Iterable[int], *, seed: int) -> Tensor:
    """Return uniform noise, float64 [N, width], of which row i comes from (seed, i) alone."""
    uniforms: Tensor = torch.special.ndtr(seeds.normal((width,), indices, seed=seed).double())
    return uniforms


def _shares(values: Tensor, most: int) -> list[float]:
    shares: list[float] = (torch.bincount(values, minlength=most + 1) / len(values)).tolist()
    return shares
