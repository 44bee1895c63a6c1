"""Points of two classes with their labels: the setting of Feng et al. 2024 (2406.07515)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from imglab import seeds
from imglab.modality import Modality, Split
from imglab.samples import Samples
from imglab.solvable.labels.settings import LabelsSettings
from imglab.solvable.plots import save_plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class LabelsModality(Modality):
    """Draws real points, float32 [d + 1]: x ~ N(y mu, I), then the label y, which is -1 or 1.

    mu lies on the first axis.
    """

    picture: ClassVar[str] = "labels.png"
    headline: ClassVar[tuple[str, ...]] = ("accuracy", "cosine", "fid")

    def __init__(self, settings: LabelsSettings) -> None:
        self.settings = settings
        """The true distribution."""
        self._real: dict[Split, Samples] = {}
        sizes: tuple[tuple[Split, int], ...] = (
            ("train", settings.n_train),
            ("test", settings.n_test),
        )
        for split, n in sizes:
            generator = seeds.generator(settings.data_seed, "labels", split)
            noise = torch.randn(n, settings.dimensions + 1, generator=generator)
            self._real[split] = Samples.real(points(noise, settings.distance))

    def real(self, split: Split) -> Samples:
        """Return the split that `data_seed` drew."""
        return self._real[split]

    def fresh(self, n: int, *, first: int, seed: int) -> Samples:
        """Draw new points with their right labels."""
        shape = (self.settings.dimensions + 1,)
        noise = seeds.normal(shape, range(first, first + n), seed=seed)
        return Samples.real(points(noise, self.settings.distance))

    def fresh_available(self) -> int | None:
        """Return None: the stream is endless."""
        return None

    def render(self, shown: Sequence[Samples], path: Path) -> None:
        """Draw the last generation's points along the first two axes, in the colours of labels."""
        drawn = shown[-1].data
        is_right = drawn[:, -1] > 0
        reach = self.settings.distance + 4

        def draw(axes: Axes) -> None:
            axes.axvline(0, color="#bbbbbb")
            for rows, colour in ((is_right, "#4c78a8"), (~is_right, "#f58518")):
                axes.scatter(drawn[rows, 0].numpy(), drawn[rows, 1].numpy(), s=6, color=colour)
            axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")

        save_plot(draw, f"generation {len(shown) - 1}", path)


def points(noise: Tensor, distance: float) -> Tensor:
    """Return points with their right labels, from standard normal noise; both [N, d + 1]."""
    labels = noise[:, -1].sign()
    labels[labels == 0] = 1
    data = noise.clone()
    data[:, -1] = labels
    data[:, 0] += distance * labels
    return data
