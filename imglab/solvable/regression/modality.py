"""Pairs of inputs and a response: the setting in which accumulation was proved to help."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from imglab import seeds
from imglab.modality import Modality, Split
from imglab.samples import Samples
from imglab.solvable.plots import save_plot
from imglab.solvable.regression.settings import RegressionDataSettings

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class RegressionModality(Modality):
    """Draws real pairs, float32 [d + 1]: the inputs x, then the response y = x beta + noise."""

    picture: ClassVar[str] = "responses.png"
    headline: ClassVar[tuple[str, ...]] = ("excess_risk", "test_error", "norm", "fid")

    def __init__(self, settings: RegressionDataSettings) -> None:
        self.settings = settings
        """The true distribution."""
        d = settings.dimensions
        self.coefficients = torch.full((d,), settings.signal / d**0.5, dtype=torch.float64)
        """beta, float64 [d]: equal numbers, since all directions of x are alike."""

        self._real: dict[Split, Samples] = {}
        sizes: tuple[tuple[Split, int], ...] = (
            ("train", settings.n_train),
            ("test", settings.n_test),
        )
        for split, n in sizes:
            generator = seeds.generator(settings.data_seed, "regression", split)
            noise = torch.randn(n, d + 1, generator=generator)
            self._real[split] = Samples.real(pairs(noise, self.coefficients, settings.noise))

    def real(self, split: Split) -> Samples:
        """Return the split that `data_seed` drew."""
        return self._real[split]

    def fresh(self, n: int, *, first: int, seed: int) -> Samples:
        """Draw new pairs from the true distribution."""
        shape = (self.settings.dimensions + 1,)
        noise = seeds.normal(shape, range(first, first + n), seed=seed)
        return Samples.real(pairs(noise, self.coefficients, self.settings.noise))

    def fresh_available(self) -> int | None:
        """Return None: the stream is endless."""
        return None

    def render(self, shown: Sequence[Samples], path: Path) -> None:
        """Draw the last generation's responses against those that are expected of real data."""
        drawn = shown[-1].data.double()
        expected = drawn[:, :-1] @ self.coefficients
        reach = 4 * (self.settings.signal**2 + self.settings.noise**2) ** 0.5

        def draw(axes: Axes) -> None:
            axes.plot([-reach, reach], [-reach, reach], color="#bbbbbb")
            axes.scatter(expected.numpy(), drawn[:, -1].numpy(), s=6, color="#4c78a8")
            axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="x beta", ylabel="y")

        save_plot(draw, f"generation {len(shown) - 1}", path)


def pairs(noise: Tensor, coefficients: Tensor, deviation: float) -> Tensor:
    """Return pairs whose inputs, and noise on y, are the standard normal `noise` [N, d + 1]."""
    inputs = noise[:, :-1].double()
    responses = inputs @ coefficients + deviation * noise[:, -1].double()
    return torch.cat([inputs, responses[:, None]], 1).float()
