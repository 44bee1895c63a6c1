"""What a person looks at for vectors: where they lie, against the true distribution."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from imglab.solvable.plots import save_plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DRAWN_COLOUR = "#4c78a8"


def draw_scatter(vectors: Tensor, means: Sequence[float], generation: int, path: Path) -> None:
    """Write a PNG of vectors [N, D] over the true distribution.

    It shows the first two dimensions over circles of 1, 2 and 3 sigma; a histogram over the true
    density where there is one dimension.

    means  first coordinate of each true component's mean
    """
    reach = (min(means) - 4, max(means) + 4)

    def draw(axes: Axes) -> None:
        if vectors.shape[1] == 1:
            _draw_histogram(axes, vectors, means, reach)
        else:
            _draw_points(axes, vectors, means, reach)

    save_plot(draw, f"generation {generation}", path)


def _draw_histogram(
    axes: Axes, vectors: Tensor, means: Sequence[float], reach: tuple[float, float]
) -> None:
    grid = torch.linspace(*reach, 161)
    offsets = grid - torch.tensor(means)[:, None]
    density = (torch.exp(-offsets.square() / 2) / (2 * torch.pi) ** 0.5).mean(0)

    axes.hist(vectors[:, 0].numpy(), bins=30, density=True, color=DRAWN_COLOUR)
    axes.plot(grid, density, color="#888888")
    axes.set_xlim(*reach)


def _draw_points(
    axes: Axes, vectors: Tensor, means: Sequence[float], reach: tuple[float, float]
) -> None:
    from matplotlib.patches import Circle

    for sigma, mean in product((1, 2, 3), means):
        axes.add_patch(Circle((mean, 0), sigma, fill=False, color="#bbbbbb"))
    axes.scatter(vectors[:, 0].numpy(), vectors[:, 1].numpy(), s=6, color=DRAWN_COLOUR)
    axes.set(xlim=reach, ylim=reach, aspect="equal")
