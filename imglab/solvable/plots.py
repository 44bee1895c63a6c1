"""Small plots that a run draws of each generation."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIDE = 3.2
"""Inches."""


def save_plot(draw: Callable[[Axes], None], title: str, path: Path) -> None:
    """Let `draw` fill square axes and write them as a PNG: the same drawing, the same bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(SIDE, SIDE), layout="constrained")
    axes = figure.add_subplot()
    draw(axes)
    axes.set_title(title, fontsize=9)
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", metadata={"Software": None})
    # A figure is full of cycles. Left to itself Python collects them late, and a long chain's memory would grow.
    del figure, axes
    gc.collect(1)
