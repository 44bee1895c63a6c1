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


def draw_scatter(vectors: Tensor, means: Sequence[float], generation: int, path: Path) -> None:
    """Write a PNG of the first two dimensions (a histogram where there is one) over the true 1, 2, 3 sigma.

    means  first coordinate of each true component's mean
    """
    reach = (min(means) - 4, max(means) + 4)

    def draw(axes: Axes) -> None:
        if vectors.shape[1] == 1:
            grid = torch.linspace(*reach, 161)
            offsets = grid - torch.tensor(means)[:, None]
            axes.hist(vectors[:, 0].numpy(), bins=30, density=True, color="#4c78a8")
            axes.plot(
                grid,
                (torch.exp(-offsets.square() / 2) / (2 * torch.pi) ** 0.5).mean(0),
                color="#888888",
            )
            axes.set_xlim(*reach)
            return
        from matplotlib.patches import Circle

        for sigma, mean in product((1, 2, 3), means):
            axes.add_patch(Circle((mean, 0), sigma, fill=False, color="#bbbbbb"))
        axes.scatter(vectors[:, 0].numpy(), vectors[:, 1].numpy(), s=6, color="#4c78a8")
        axes.set(xlim=reach, ylim=reach, aspect="equal")

    save_plot(draw, f"generation {generation}", path)
