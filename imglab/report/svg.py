"""Charts over generations as SVG text for a page: lines with error bands, and stacked shares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape

from imglab.report.explanations import clipped_band, explanation, within
from imglab.report.svg_frame import LEFT, RIGHT, WIDTH, Axes, Point, chart, fitted_axes, grid

MARKERS = 30
"""Points up to which each one of a line gets a marker, whose title says its value."""
MOST_LAYERS = 8
"""Layers of a stacked chart that its label describes."""
SHAPES = (
    "M-2.4 0a2.4 2.4 0 1 0 4.8 0a2.4 2.4 0 1 0-4.8 0z",
    "M-2.2-2.2h4.4v4.4h-4.4z",
    "M0-2.9 2.8 2.1h-5.6z",
    "M0-3.1 3.1 0 0 3.1-3.1 0z",
    "M0 2.9 2.8-2.1h-5.6z",
    "M-.9-2.9h1.8v2h2v1.8h-2v2h-1.8v-2h-2v-1.8h2z",
    "M-2.6-1.3-1.3-2.6 0-1.3 1.3-2.6 2.6-1.3 1.3 0 2.6 1.3 1.3 2.6 0 1.3-1.3 2.6-2.6 1.3-1.3 0z",
    "M-2.9 0 2.1-2.8v5.6z",
    "M2.9 0-2.1-2.8v5.6z",
    "M-2.6-2.6h5.2l-5.2 5.2h5.2z",
)
"""Markers, one for each colour: round, square, and so on."""
COLOURS = len(SHAPES)
"""Colours in the page's palette; lines beyond are dashed."""


@dataclass(frozen=True)
class Line:
    """A line of a chart, with the points in order; `colour` numbers the arms, None is theory."""

    name: str
    points: Sequence[Point]
    colour: int | None

    def within(self, metric: str) -> Line:
        """Return the line without the parts of its band that lie outside the metric's range."""
        points = [
            (g, value, *clipped_band(metric, value, low, high))
            for g, value, low, high in self.points
        ]
        return replace(self, points=points)

    @property
    def data(self) -> str:
        """The attribute by which the page hides and shows a line with its band and marks."""
        return f'data-line="{self.colour}"'


def line_chart(
    title: str,
    lines: Sequence[Line],
    last: int,
    floor: Mapping[str, float | None] | None = None,
    *,
    from_zero: bool = False,
    metric: str = "",
) -> str:
    """Return a chart of lines over generations 0 to `last`.

    floor      mean and sd of real data against real data; drawn as a band of two sd
    metric     what is drawn: bands end where its range does, and the title explains it
    from_zero  whether the y axis starts at 0 and stays linear
    """
    drawn = [line.within(metric) for line in lines if line.points]
    band = _floor_band(floor, metric)
    axes = fitted_axes([line.points for line in drawn], last, band, from_zero=from_zero)

    parts = [grid(axes)]
    if band is not None:
        parts.append(_floor(band, axes))
    parts += [part for line in drawn for part in _line(line, axes)]

    described = "; ".join(_described(line) for line in drawn)
    if band is not None:
        described += f"; real against real {band[0]:.3g}"
    return chart(title, described, parts, counts_generations=axes, explained=_explained(metric))


def stacked_chart(title: str, layers: Sequence[tuple[str, Sequence[float]]], last: int) -> str:
    """Return a chart of stacked shares over generations 0 to `last`.

    layers  (name, share in each generation), from the bottom to the top; the first is real data
    """
    axes = Axes(last, 0.0, 1.0)
    parts = [grid(axes)]
    ranges = []

    count = max((len(shares) for _, shares in layers), default=0)
    below = [0.0] * count
    for at, (name, shares) in enumerate(layers):
        above = [low + share for low, share in zip(below, shares, strict=True)]

        if any(shares):
            parts.append(_layer(at, name, below, above, axes))
        if shares:
            ranges.append(f"{name} {shares[0]:.0%} to {shares[-1]:.0%}")
        below = above

    described = "; ".join(ranges[:MOST_LAYERS])
    return chart(title, described, parts, counts_generations=axes)


def _explained(metric: str) -> str:
    """Return what a metric says and what is better, for the chart's title."""
    words = explanation(metric)
    if words is None:
        return ""
    return f"{words.says} ({words.better})"


def _floor_band(
    floor: Mapping[str, float | None] | None, metric: str
) -> tuple[float, float, float] | None:
    """Return the mean of a floor and the ends of two standard deviations, if it is defined."""
    if floor is None or floor["mean"] is None:
        return None
    mean = floor["mean"]
    return mean, *within(metric, mean, 2 * (floor["sd"] or 0.0))


def _floor(band: tuple[float, float, float], axes: Axes) -> str:
    centre, low, high = band
    top = axes.y(high)
    middle = axes.y(centre)
    height = max(1.0, axes.y(low) - top)
    right = WIDTH - RIGHT
    return (
        f'<rect class="floor" x="{LEFT}" y="{top:.1f}" width="{right - LEFT}" '
        f'height="{height:.1f}"/>'
        f'<line class="floor" x1="{LEFT}" x2="{right}" y1="{middle:.1f}" y2="{middle:.1f}"/>'
    )


def _line(line: Line, axes: Axes) -> Iterator[str]:
    """Yield a line's error band, the line itself and its markers."""
    if line.colour is None:
        yield f'<polyline class="line theory" points="{_joined(line, axes)}"/>'
        return

    style = f"s{line.colour % COLOURS}"
    if any(high > low for _, _, low, high in line.points):
        upper = [_place(axes, g, high) for g, _, _, high in line.points]
        lower = [_place(axes, g, low) for g, _, low, _ in line.points]
        points = " ".join([*upper, *reversed(lower)])
        yield f'<polygon class="band {style}" points="{points}" {line.data}/>'

    dashed = ""
    if line.colour >= COLOURS:
        dashed = " dashed"
    many = len(line.points) > MARKERS
    values = ""
    if many:
        values = f' data-name="{escape(line.name, quote=True)}" data-values="{_values(line)}"'
    joined = _joined(line, axes)
    yield f'<polyline class="line {style}{dashed}" points="{joined}" {line.data}{values}/>'

    if not many:
        shape = SHAPES[line.colour % COLOURS]
        for point in line.points:
            yield _marker(line, point, style, shape, axes)


def _values(line: Line) -> str:
    """Return the numbers of a line, from which the page says what a pointer is over.

    `generation:value` or `generation:value:low:high` of each point, with commas between them.
    """
    points: list[str] = []
    for g, value, low, high in line.points:
        text = f"{g:g}:{value:.4g}"
        if high > low:
            text += f":{low:.4g}:{high:.4g}"
        points.append(text)
    return ",".join(points)


def _marker(line: Line, point: Point, style: str, shape: str, axes: Axes) -> str:
    """Return the marker of a point, with a title that gives its value and the error band."""
    g, value, low, high = point
    spread = ""
    if high > low:
        spread = f" ({low:.4g} to {high:.4g})"
    title = f"{escape(line.name)}, generation {g}: {value:.4g}{spread}"
    place = f"translate({axes.x(g):.1f} {axes.y(value):.1f})"
    return (
        f'<path class="dot {style}" transform="{place}" d="{shape}" {line.data}>'
        f"<title>{title}</title></path>"
    )


def _joined(line: Line, axes: Axes) -> str:
    return " ".join(_place(axes, g, value) for g, value, _, _ in line.points)


def _place(axes: Axes, g: float, value: float) -> str:
    return f"{axes.x(g):.1f},{axes.y(value):.1f}"


def _layer(at: int, name: str, below: Sequence[float], above: Sequence[float], axes: Axes) -> str:
    """Return the area of layer number `at` between two stacked heights of each generation."""
    shade = f"shade{at % 2}"
    if at == 0:
        shade = "real"

    upper = _steps(above, axes)
    lower = _steps(below, axes)
    points = " ".join([*upper, *reversed(lower)])
    return f'<polygon class="{shade}" points="{points}"><title>{escape(name)}</title></polygon>'


def _steps(heights: Sequence[float], axes: Axes) -> list[str]:
    """Return the corners of steps as wide as a generation, half as wide at both ends."""
    rightmost = max(float(axes.last), 0.5)
    corners = []
    for g, height in enumerate(heights):
        corners.append(_place(axes, max(0.0, g - 0.5), height))
        corners.append(_place(axes, min(rightmost, g + 0.5), height))
    return corners


def _described(line: Line) -> str:
    """Say in words where a line begins and ends, for those who do not see it."""
    name = line.name
    if line.colour is None:
        name = "theory"
    return f"{name} {line.points[0][1]:.3g} to {line.points[-1][1]:.3g}"
