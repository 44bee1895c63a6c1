"""What a person looks at for categories: how often each was drawn, against the truth."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor


def draw_bars(drawn: Tensor, true: Tensor, generation: int, path: Path) -> None:
    """Write a PNG of the frequencies drawn [K] as bars over the true ones [K]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2, 3.2), layout="constrained")
    axes = figure.add_subplot()
    edges = range(len(true) + 1)
    axes.stairs(drawn.numpy(), edges, fill=True, color="#4c78a8")
    axes.stairs(true.numpy(), edges, color="#888888")
    axes.set(xlim=(0, len(true)), ylim=(0, 2 * float(true.max())), xlabel="category", ylabel="frequency")
    axes.set_title(f"generation {generation}", fontsize=9)
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", metadata={"Software": None})
