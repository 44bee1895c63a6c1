"""What all figures of a run have in common: colours, the look of a panel, PNG and SVG."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from weakref import WeakSet

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from imglab.report.fonts import fit_fonts, legible
from imglab.solvable.plots import own_style

COLUMNS = 4
"""Panels beside each other."""
GREY = "#bbbbbb"
PALETTE = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#777777")
"""Paul Tol's bright scheme, whose colours colour-blind readers can tell apart."""


PNG_DPI = 130

_prepared: WeakSet[Figure] = WeakSet()
"""Figures whose letters and places are found."""


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
    canvas = FigureCanvasAgg(figure)
    _prepare(figure)
    dpi = figure.dpi
    figure.dpi = PNG_DPI
    try:
        return _printed(partial(canvas.print_png, metadata={"Software": None}))
    finally:
        figure.dpi = dpi


@own_style()
def svg(figure: Figure) -> bytes:
    """Return a figure as an SVG; the same figure gives the same bytes."""
    # Without a salt of its own, matplotlib draws new names for its elements each time.
    rcParams["svg.hashsalt"] = "imglab"
    canvas = FigureCanvasSVG(figure)
    _prepare(figure)
    return _printed(partial(canvas.print_svg, metadata={"Date": None, "Creator": None}))


def _prepare(figure: Figure) -> None:
    """Find the letters and the places of the panels once, for all forms of a figure."""
    if figure in _prepared:
        return
    with _unseen_letters():
        fit_fonts(figure)
        engine = figure.get_layout_engine()
        if engine is not None:
            engine.execute(figure)
            figure.set_layout_engine("none")
    _prepared.add(figure)


def _printed(write: Callable[[io.BytesIO], object]) -> bytes:
    """Return what a canvas prints; `Figure.savefig` would go through the figure twice."""
    buffer = io.BytesIO()
    with _unseen_letters():
        write(buffer)
    return buffer.getvalue()


@contextmanager
def _unseen_letters() -> Iterator[None]:
    """Ignore letters that a font lacks: labels of ticks get theirs only in drawing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        yield
