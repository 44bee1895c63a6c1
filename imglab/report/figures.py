"""What all figures of a run have in common: colours, the look of a panel, PNG and SVG."""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from imglab.safe_text import one_line

COLUMNS = 4
"""Panels beside each other."""
GREY = "#bbbbbb"
PALETTE = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#777777")
"""Paul Tol's bright scheme, whose colours colour-blind readers can tell apart."""


def finish_panel(panel: Axes, title: str, generations: Sequence[int]) -> None:
    """Give a panel whose x axis counts generations its title and plain looks."""
    panel.set_title(title, fontsize=9, parse_math=False)
    panel.tick_params(labelsize=7)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.set_xlabel("generation", fontsize=7)

    if len(generations) == 1:  # a single point would lie at the edge
        panel.set_xlim(generations[0] - 1, generations[0] + 1)
    panel.spines[["top", "right"]].set_visible(False)


def label_line(panel: Axes, text: str, end: tuple[int, float]) -> None:
    """Write what a line is beside its end."""
    panel.annotate(f" {one_line(text)}", end, fontsize=6, va="center", parse_math=False)


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()


def svg(figure: Figure) -> bytes:
    """Return a figure as an SVG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    # Without a salt of its own, matplotlib draws new names for its elements each time.
    with rc_context({"svg.hashsalt": "imglab"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
