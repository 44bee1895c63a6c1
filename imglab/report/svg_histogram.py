"""Histograms of single samples as SVG text for a page, one outline for each generation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from imglab.report.svg_frame import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    WIDE,
    WIDTH,
    Axes,
    chart,
    tick_label,
)


def histogram_chart(
    title: str, edges: Sequence[float], counts: Mapping[int, Sequence[float]]
) -> str:
    """Return a chart with one outline for each generation, whose number is its `data-g`.

    edges   the edges of B bins, B + 1 values; a wide positive range gets a log scale
    counts  for each generation, the share of its samples in each of the B bins
    """
    low = edges[0]
    high = edges[-1]
    log = low > 0 and high / low > WIDE
    across = _across(edges, log)

    most = max((max(column, default=0.0) for column in counts.values()), default=0.0)
    axes = Axes(1, 0.0, most or 1.0)
    first = min(counts, default=0)
    parts = [_outline(g, column, across, axes, filled=g == first) for g, column in counts.items()]

    middle = (low + high) / 2
    if log:
        middle = math.sqrt(low * high)
    parts += _value_axis(low, middle, high)
    described = f"{len(counts)} generations, from {tick_label(low)} to {tick_label(high)}"
    return chart(title, described, parts)


def _across(edges: Sequence[float], log: bool) -> list[float]:
    """Return where the edges of bins lie on the x axis."""
    places = list(edges)
    if log:
        places = [math.log(edge) for edge in edges]

    first = places[0]
    span = places[-1] - first
    return [LEFT + (place - first) / span * (WIDTH - LEFT - RIGHT) for place in places]


def _outline(
    g: int, column: Sequence[float], across: Sequence[float], axes: Axes, *, filled: bool
) -> str:
    """Return the outline of a generation's histogram, which starts and ends on the x axis."""
    points = [(across[0], axes.y(0))]
    for at, share in enumerate(column):
        points.append((across[at], axes.y(share)))
        points.append((across[at + 1], axes.y(share)))
    points.append((across[-1], axes.y(0)))

    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    first = ""
    if filled:
        first = " first"
    return (
        f'<polyline class="bins{first}" data-g="{g}" points="{path}">'
        f"<title>generation {g}</title></polyline>"
    )


def _value_axis(low: float, middle: float, high: float) -> Iterator[str]:
    """Yield an x axis that shows values, with three of them below it."""
    base = HEIGHT - BOTTOM
    right = WIDTH - RIGHT
    yield f'<line class="axis" x1="{LEFT}" x2="{right}" y1="{base}" y2="{base}"/>'

    labels = (
        (LEFT, "start", low),
        ((LEFT + right) / 2, "middle", middle),
        (right, "end", high),
    )
    for x, anchor, value in labels:
        label = tick_label(value)
        yield f'<text x="{x}" y="{HEIGHT - 8}" text-anchor="{anchor}">{label}</text>'
