"""What a person looks at for vectors: where they lie, against the true distribution."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import torch
from torch import Tensor


def draw_scatter(vectors: Tensor, means: Sequence[float], generation: int, path: Path) -> None:
    """Write a PNG of the first two dimensions (a histogram where there is one) over the true 1, 2, 3 sigma.

    means  first coordinate of each true component's mean
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle

    figure = Figure(figsize=(3.2, 3.2), layout="constrained")
    axes = figure.add_subplot()
    reach = (min(means) - 4, max(means) + 4)
    if vectors.shape[1] == 1:
        grid = torch.linspace(*reach, 161)
        offsets = grid - torch.tensor(means)[:, None]
        axes.hist(vectors[:, 0].numpy(), bins=30, density=True, color="#4c78a8")
        axes.plot(grid, (torch.exp(-offsets.square() / 2) / (2 * torch.pi) ** 0.5).mean(0), color="#888888")
        axes.set_xlim(*reach)
    else:
        for sigma, mean in product((1, 2, 3), means):
            axes.add_patch(Circle((mean, 0), sigma, fill=False, color="#bbbbbb"))
        axes.scatter(vectors[:, 0].numpy(), vectors[:, 1].numpy(), s=6, color="#4c78a8")
        axes.set(xlim=reach, ylim=reach, aspect="equal")
    axes.set_title(f"generation {generation}", fontsize=9)
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", metadata={"Software": None})
