"""What all figures of a run have in common: colours, the look of a panel, PNG and SVG."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from imglab.report.fonts import fit_fonts, legible
from imglab.solvable.plots import own_style

COLUMNS = 4
"""Panels beside each other."""
GREY = "#bbbbbb"
PALETTE = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#777777")
"""Paul Tol's bright scheme, whose colours colour-blind readers can tell apart."""


def finish_panel(panel: Axes, title: str, generations: Sequence[int]) -> None:
    """Give a panel whose x axis counts generations its title and plain looks."""
    # A height of its own: matplotlib would look at all tick labels to find one.
    panel.set_title(title, fontsize=9, parse_math=False, y=1.0)
    panel.tick_params(labelsize=7)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.set_xlabel("generation", fontsize=7)

    if len(generations) == 1:  # a single point would lie at the edge
        panel.set_xlim(generations[0] - 1, generations[0] + 1)
    panel.spines[["top", "right"]].set_visible(False)


def label_line(panel: Axes, name: str, at: int, end: tuple[int, float]) -> None:
    """Write the name of a line beside its end; `at` is its place in its table, from 0."""
    text = f" {legible(name, at + 1)}"
    panel.annotate(text, end, fontsize=6, va="center", parse_math=False)


@own_style()
def png(figure: Figure) -> bytes:
    """Return a figure as a PNG; the same figure gives the same bytes."""
    FigureCanvasAgg(figure)
    return _saved(figure, format="png", dpi=130, metadata={"Software": None})


@own_style()
def svg(figure: Figure) -> bytes:
    """Return a figure as an SVG; the same figure gives the same bytes."""
    # Without a salt of its own, matplotlib draws new names for its elements each time.
    rcParams["svg.hashsalt"] = "imglab"
    return _saved(figure, format="svg", metadata={"Date": None, "Creator": None})


def _saved(figure: Figure, **options: Any) -> bytes:
    fit_fonts(figure)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Labels of ticks get their letters only now.
        warnings.filterwarnings("ignore", "Glyph")
        _lay_out(figure)
        figure.savefig(buffer, **options)
    return buffer.getvalue()


def _lay_out(figure: Figure) -> None:
    """Find the places of the panels once; in saving, matplotlib would do it three times."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")
