"""Charts as SVG text for a page: lines with error bands, stacked shares, histograms. Colours come from the page's CSS.

Every chart has the class `chart` and, where its x axis counts generations, a line `now` that the page moves:
`data-x0` is where generation 0 lies, `data-dx` how far the next one is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 320, 200
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 26, 26
MARKERS = 30
"""Points up to which each gets a marker of its own."""
LONGEST = 46
"""Characters of a title that have room."""
LARGEST = 1e150
"""Values beyond it lie outside the axes, which could not be counted out."""
WIDE = 30.0
"""Positive values that span more than such a factor are shown on a log scale."""
SHAPES = (
    "M-2.4 0a2.4 2.4 0 1 0 4.8 0a2.4 2.4 0 1 0-4.8 0z",
    "M-2.2-2.2h4.4v4.4h-4.4z",
    "M0-2.9 2.8 2.1h-5.6z",
    "M0-3.1 3.1 0 0 3.1-3.1 0z",
    "M0 2.9 2.8-2.1h-5.6z",
    "M-.9-2.9h1.8v2h2v1.8h-2v2h-1.8v-2h-2v-1.8h2z",
    "M-2.6-1.3-1.3-2.6 0-1.3 1.3-2.6 2.6-1.3 1.3 0 2.6 1.3 1.3 2.6 0 1.3-1.3 2.6-2.6 1.3-1.3 0z",
)
"""Markers, one for each colour: round, square, and so on."""
COLOURS = len(SHAPES)
"""Colours in the page's palette; from there on lines are dashed."""


@dataclass(frozen=True)
class Line:
    """A line of a chart: (x, value, low, high) of each point; `colour` counts the arms, None is theory."""

    name: str
    points: Sequence[tuple[int, float, float, float]]
    colour: int | None


@dataclass(frozen=True)
class _Axes:
    """From values to places; x counts generations."""

    last: int
    low: float
    high: float
    log: bool

    def x(self, g: float) -> float:
        return LEFT + g * self.dx

    @property
    def dx(self) -> float:
        return (WIDTH - LEFT - RIGHT) / max(1, self.last)

    def y(self, value: float) -> float:
        low, high = (
            (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        )
        at = math.log10(max(value, self.low)) if self.log else value
        share = (at - low) / (high - low)
        return TOP + (1 - min(1.0, max(0.0, share))) * (HEIGHT - TOP - BOTTOM)


def line_chart(
    title: str,
    lines: Sequence[Line],
    last: int,
    floor: Mapping[str, float | None] | None = None,
    *,
    from_zero: bool = False,
) -> str:
    """Return a chart of lines over generations 0 to `last`; `floor` has the mean and sd of real against real."""
    drawn = [line for line in lines if line.points]
    between = (
        (floor["mean"], 2 * (floor["sd"] or 0.0)) if floor and floor["mean"] is not None else None
    )
    axes = _axes(drawn, last, between, from_zero)
    parts = [_grid(axes)]
    if between is not None:
        top, bottom = axes.y(between[0] + between[1]), axes.y(between[0] - between[1])
        middle = axes.y(between[0])
        parts.append(
            f'<rect class="floor" x="{LEFT}" y="{top:.1f}" width="{WIDTH - LEFT - RIGHT}" '
            f'height="{max(1.0, bottom - top):.1f}"/>'
            f'<line class="floor" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{middle:.1f}" y2="{middle:.1f}"/>'
        )
    parts += [_line(line, axes) for line in drawn]
    parts.append(_now(axes))
    told = "; ".join(_told(line) for line in drawn)
    if between is not None:
        told += f"; real against real {between[0]:.3g}"
    return _svg(title, told, parts, moves=axes)


def stacked_chart(title: str, layers: Sequence[tuple[str, Sequence[float]]], last: int) -> str:
    """Return stacked shares over generations: (name, share in each generation), from the bottom to the top."""
    axes = _Axes(last, 0.0, 1.0, False)
    count = len(layers[0][1]) if layers else 0
    below = [0.0] * count
    parts = [_grid(axes)]
    for at, (name, shares) in enumerate(layers):
        above = [low + share for low, share in zip(below, shares, strict=True)]
        shade = "real" if at == 0 else f"shade{at % 2}"
        steps = [(g - 0.5, g + 0.5) for g in range(count)]
        up = [
            f"{axes.x(x):.1f},{axes.y(above[g]):.1f}"
            for g, step in enumerate(steps)
            for x in _inside(step, last)
        ]
        down = [
            f"{axes.x(x):.1f},{axes.y(below[g]):.1f}"
            for g, step in enumerate(steps)
            for x in _inside(step, last)
        ]
        if any(shares):
            points = " ".join([*up, *reversed(down)])
            parts.append(
                f'<polygon class="{shade}" points="{points}"><title>{escape(name)}</title></polygon>'
            )
        below = above
    parts.append(_now(axes))
    told = "; ".join(
        f"{name} {shares[0]:.0%} to {shares[-1]:.0%}" for name, shares in layers[:8] if count
    )
    return _svg(title, told, parts, moves=axes)


def histogram_chart(
    title: str, edges: Sequence[float], counts: Mapping[int, Sequence[float]]
) -> str:
    """Return one outline for each generation, `data-g` its number; `counts` are shares of samples in each bin."""
    low, high = edges[0], edges[-1]
    log = low > 0 and high / low > WIDE
    places = [math.log(edge) if log else edge for edge in edges]
    across = [
        LEFT + (at - places[0]) / (places[-1] - places[0]) * (WIDTH - LEFT - RIGHT) for at in places
    ]
    most = max((max(column, default=0.0) for column in counts.values()), default=0.0) or 1.0
    axes = _Axes(1, 0.0, most, False)
    parts = []
    for g, column in counts.items():
        points = [(across[0], axes.y(0))]
        for at, share in enumerate(column):
            points += [(across[at], axes.y(share)), (across[at + 1], axes.y(share))]
        points.append((across[-1], axes.y(0)))
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        first = " first" if g == min(counts) else ""
        parts.append(
            f'<polyline class="bins{first}" data-g="{g}" points="{path}"><title>generation {g}</title></polyline>'
        )
    base = HEIGHT - BOTTOM
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}"/>')
    middle = math.sqrt(low * high) if log else (low + high) / 2
    right = WIDTH - RIGHT
    for x, anchor, value in (
        (LEFT, "start", low),
        ((LEFT + right) / 2, "middle", middle),
        (right, "end", high),
    ):
        parts.append(f'<text x="{x}" y="{HEIGHT - 8}" text-anchor="{anchor}">{_tick(value)}</text>')
    return _svg(title, f"{len(counts)} generations, from {_tick(low)} to {_tick(high)}", parts)


def _axes(
    lines: Sequence[Line], last: int, floor: tuple[float, float] | None, from_zero: bool
) -> _Axes:
    values = [
        value
        for line in lines
        for _, *seen in line.points
        for value in seen
        if abs(value) <= LARGEST
    ]
    middles = [value for line in lines for _, value, *_ in line.points if abs(value) <= LARGEST]
    if floor is not None and max(map(abs, floor)) <= LARGEST / 2:
        values += [floor[0] - floor[1], floor[0] + floor[1]]
        middles.append(floor[0])
    if from_zero:
        values.append(0.0)
    log = (
        not from_zero and bool(middles) and min(middles) >= 1 and max(middles) > WIDE * min(middles)
    )
    if log:
        values = [value for value in values if value >= min(middles) / 2]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if log:
        return _Axes(last, low / 1.1, high * 1.1, True)
    room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    bottom = 0.0 if 0 <= low < room * 3 else low - room
    return _Axes(last, bottom, high + room, False)


def _grid(axes: _Axes) -> str:
    parts = []
    ticks = _ticks(axes)
    step = 0.0 if axes.log or len(ticks) < 2 else ticks[1] - ticks[0]
    for value in ticks:
        y = axes.y(value)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">{_tick(value, step)}</text>'
        )
    every = max(1, math.ceil(axes.last / 8))
    for g in range(0, axes.last + 1, every):
        parts.append(f'<text x="{axes.x(g):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{g}</text>')
    return "".join(parts)


def _ticks(axes: _Axes) -> list[float]:
    if axes.log:
        powers = range(math.floor(math.log10(axes.low)), math.ceil(math.log10(axes.high)) + 1)
        found = [
            m * 10.0**p for p in powers for m in (1, 3) if axes.low <= m * 10.0**p <= axes.high
        ]
        return found[:: max(1, len(found) // 5)]
    rough = (axes.high - axes.low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((power * times for times in (1, 2, 5) if power * times >= rough), power * 10)
    first = math.ceil(axes.low / step)
    return [at * step for at in range(first, math.floor(axes.high / step) + 1)]


def _line(line: Line, axes: _Axes) -> str:
    style = "theory" if line.colour is None else f"s{line.colour % COLOURS}"
    dashed = line.colour is not None and line.colour >= COLOURS
    points = [(axes.x(g), axes.y(value)) for g, value, *_ in line.points]
    parts = []
    if line.colour is not None and any(high > low for *_, low, high in line.points):
        up = [f"{axes.x(g):.1f},{axes.y(high):.1f}" for g, _, _, high in line.points]
        down = [f"{axes.x(g):.1f},{axes.y(low):.1f}" for g, _, low, _ in line.points]
        parts.append(f'<polygon class="band {style}" points="{" ".join([*up, *reversed(down)])}"/>')
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    parts.append(f'<polyline class="line {style}{" dashed" if dashed else ""}" points="{joined}"/>')
    if line.colour is not None and len(points) <= MARKERS:
        for (x, y), (g, value, low, high) in zip(points, line.points, strict=True):
            spread = f" ({low:.4g} to {high:.4g})" if high > low else ""
            title = f"{escape(line.name)}, generation {g}: {value:.4g}{spread}"
            parts.append(
                f'<path class="dot {style}" transform="translate({x:.1f} {y:.1f})" d="{SHAPES[line.colour % COLOURS]}">'
                f"<title>{title}</title></path>"
            )
    return "".join(parts)


def _now(axes: _Axes) -> str:
    return f'<line class="now" x1="{LEFT}" x2="{LEFT}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'


def _inside(step: tuple[float, float], last: int) -> tuple[float, float]:
    return max(0.0, step[0]), min(max(float(last), 0.5), step[1])


def _told(line: Line) -> str:
    name = line.name if line.colour is not None else "theory"
    return f"{name} {line.points[0][1]:.3g} to {line.points[-1][1]:.3g}"


def _fitted(title: str) -> str:
    return title if len(title) <= LONGEST else f"{title[: LONGEST - 3]}..."


def _tick(value: float, step: float = 0.0) -> str:
    """Write a value beside an axis, as exactly as the next one is far away."""
    if step and step > 1e-5 and abs(value) < 100_000:
        return f"{value:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"
    if value and (abs(value) >= 100_000 or abs(value) < 0.001):
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:.4g}"


def _svg(title: str, told: str, parts: Sequence[str], moves: _Axes | None = None) -> str:
    data = f' data-x0="{LEFT}" data-dx="{moves.dx:.4f}"' if moves else ""
    label = escape(f"{title}: {told}" if told else title, quote=True)
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}"{data}>'
        f'<text class="title" x="{LEFT - 36}" y="15">{escape(_fitted(title))}</text>{"".join(parts)}</svg>'
    )
