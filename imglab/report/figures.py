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
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from imglab.report.fonts import fit_fonts, legible
from imglab.solvable.plots import own_style

COLUMNS = 4
"""Panels beside each other."""
GREY = "#bbbbbb"
PALETTE = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#777777",
    "#882255",
    "#332288",
    "#6b6100",
)
"""The colours of the page (`--c0` to `--c9` in page.css): those of Okabe and Ito 2008, which people
of every colour vision tell apart, and three darker ones."""


PNG_DPI = 200
TICKS = 5
"""Steps between the values that a linear y axis names, at most: their letters take half of the time
that a figure takes.
"""
FLAT = 1e-12
"""Values that differ by a smaller share of their size are one value."""
LEAST = 1e-15
"""Values that differ by less are one value, however small they are."""
LABEL_SIZE = 6.0
"""Points of the names beside the ends of lines."""
LABEL_GAP = 1.1 * LABEL_SIZE
"""Points from one of these names to the next, at least."""

_prepared: WeakSet[Figure] = WeakSet()
"""Figures whose letters and places are found."""


def finish_panel(panel: Axes, title: str, generations: Sequence[int]) -> None:
    """Give a panel whose x axis counts generations its title and plain looks."""
    # A height of its own: matplotlib would look at all tick labels to find one.
    panel.set_title(title, fontsize=9, parse_math=False, y=1.0)
    panel.tick_params(labelsize=7)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.set_xlabel("generation", fontsize=7)
    if panel.get_yscale() == "linear":
        panel.yaxis.set_major_locator(MaxNLocator(TICKS, steps=[1, 2, 2.5, 5, 10]))
        _widen_flat(panel)
    # What values that hardly differ have in common would stand above the panel, on its title.
    formatter = panel.yaxis.get_major_formatter()
    if isinstance(formatter, ScalarFormatter):
        formatter.set_useOffset(False)

    if len(generations) == 1:  # a single point would lie at the edge
        panel.set_xlim(generations[0] - 1, generations[0] + 1)
    panel.spines[["top", "right"]].set_visible(False)


def _widen_flat(panel: Axes) -> None:
    """Give one value room: its axis would name steps of 1e-17."""
    low, high = panel.get_ylim()
    size = max(abs(low), abs(high))
    if high - low < max(FLAT * size, LEAST):
        panel.set_ylim(low - 0.05 * max(size, 1), high + 0.05 * max(size, 1))


def label_lines(
    panel: Axes, ends: Sequence[tuple[str, int, tuple[int, float]]], *, height: float
) -> None:
    """Write the names of lines beside their ends, one above the other where these are close.

    ends    of each line its name, its place in its table (from 0), and its last point
    height  of the panel in points, about
    """
    low, high = panel.get_ylim()
    places = [(value - low) / (high - low) * height for _, _, (_, value) in ends]
    free = spread_apart(places, LABEL_GAP, height)

    for (name, at, end), place, clear in zip(ends, places, free, strict=True):
        panel.annotate(
            f" {legible(name, at + 1)}",
            end,
            xytext=(0, clear - place),
            textcoords="offset points",
            fontsize=LABEL_SIZE,
            va="center",
            parse_math=False,
            color=PALETTE[at % len(PALETTE)],
        )
    # Shifted names may reach above or below, where the panel's room would grow for them.
    panel.set_ylim(low, high)


def spread_apart(places: Sequence[float], gap: float, height: float) -> list[float]:
    """Return places at least `gap` apart in the same order, near the old ones, in 0 to `height`.

    Where there is no room for that, they are as far apart as there is room.
    """
    if not places:
        return []
    gap = min(gap, height / max(1, len(places) - 1))
    order = sorted(range(len(places)), key=lambda at: places[at])

    # First each is pushed up by the one below it, then down from the top, and last up again.
    free = [min(max(places[at], 0.0), height) for at in order]
    for at in range(1, len(free)):
        free[at] = max(free[at], free[at - 1] + gap)
    free[-1] = min(free[-1], height)
    for at in reversed(range(len(free) - 1)):
        free[at] = min(free[at], free[at + 1] - gap)

    result = [0.0] * len(places)
    for at, place in zip(order, free, strict=True):
        result[at] = place
    return result


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
    """Return a figure as an SVG whose text is text; the same figure gives the same bytes."""
    # Without a salt of its own, matplotlib draws new names for its elements each time.
    rcParams["svg.hashsalt"] = "imglab"
    rcParams["svg.fonttype"] = "none"
    canvas = FigureCanvasSVG(figure)
    _prepare(figure)
    return _printed(partial(canvas.print_svg, metadata={"Date": None, "Creator": None}))


@own_style()
def pdf(figure: Figure) -> bytes:
    """Return a figure as a PDF; the same figure gives the same bytes."""
    rcParams["pdf.fonttype"] = 42  # whole fonts, which journals ask for
    canvas = FigureCanvasPdf(figure)
    _prepare(figure)
    metadata = {"CreationDate": None, "Creator": None, "Producer": None}
    return _printed(partial(canvas.print_pdf, metadata=metadata))


def figure_names(name: str) -> tuple[str, ...]:
    """Return the names of the files of one figure."""
    return tuple(f"{name}.{kind}" for kind in ("png", "svg", "pdf"))


def figure_files(name: str, figure: Figure) -> dict[str, bytes]:
    """Return the files of a figure by their names: for the eye, for the web and for a paper."""
    contents = (png(figure), svg(figure), pdf(figure))
    return dict(zip(figure_names(name), contents, strict=True))


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
