"""What a person looks at for vectors: where they lie, against the true distribution."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor


def draw_scatter(vectors: Tensor, generation: int, path: Path) -> None:
    """Write a PNG of the first two dimensions (a histogram where there is one) over N(0, I)'s 1, 2, 3 sigma."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle

    figure = Figure(figsize=(3.2, 3.2), layout="constrained")
    axes = figure.add_subplot()
    if vectors.shape[1] == 1:
        grid = torch.linspace(-4, 4, 161)
        axes.hist(vectors[:, 0].numpy(), bins=30, density=True, color="#4c78a8")
        axes.plot(grid, torch.exp(-grid.square() / 2) / (2 * torch.pi) ** 0.5, color="#888888")
        axes.set_xlim(-4, 4)
    else:
        for sigma in (1, 2, 3):
            axes.add_patch(Circle((0, 0), sigma, fill=False, color="#bbbbbb"))
        axes.scatter(vectors[:, 0].numpy(), vectors[:, 1].numpy(), s=6, color="#4c78a8")
        axes.set(xlim=(-4, 4), ylim=(-4, 4), aspect="equal")
    axes.set_title(f"generation {generation}", fontsize=9)
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", metadata={"Software": None})
