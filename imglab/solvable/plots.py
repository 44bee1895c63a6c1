"""Small plots that a run draws of each generation."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDE = 3.2
"""Width and height of a plot, in inches."""


@contextmanager
def own_style() -> Iterator[None]:
    """Draw with the settings that matplotlib comes with, whatever the user's own ones are."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


@own_style()
def save_plot(draw: Callable[[Axes], None], title: str, path: Path) -> None:
    """Let `draw` fill square axes and write a PNG; the same drawing gives the same bytes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(SIDE, SIDE), layout="constrained")
    axes = figure.add_subplot()
    draw(axes)
    axes.set_title(title, fontsize=9)
    _write_png(figure, path)

    # A figure is full of reference cycles, which Python alone collects late: the memory of a long
    # chain would grow.
    del figure, axes
    gc.collect(1)


def _write_png(figure: Figure, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    # `Figure.savefig` would go through the figure twice.
    with path.open("wb") as file:
        FigureCanvasAgg(figure).print_png(file, metadata={"Software": None})  # type: ignore[no-untyped-call]
