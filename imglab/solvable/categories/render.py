"""What a person looks at for categories: how often each was drawn, against its true frequency."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from imglab.solvable.plots import save_plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_bars(drawn: Tensor, true: Tensor, generation: int, path: Path) -> None:
    """Write a PNG of the frequencies drawn [K] as bars over the true ones [K]."""

    def draw(axes: Axes) -> None:
        edges = range(len(true) + 1)
        axes.stairs(drawn.numpy(), edges, fill=True, color="#4c78a8")
        axes.stairs(true.numpy(), edges, color="#888888")
        axes.set(
            xlim=(0, len(true)),
            ylim=(0, 2 * float(true.max())),
            xlabel="category",
            ylabel="frequency",
        )

    save_plot(draw, f"generation {generation}", path)
