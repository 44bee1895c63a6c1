"""The frame of the page's charts as SVG text: title, axes with ticks, and where values lie.

Every chart has the class `chart`, and its colours come from the page's CSS. Where its x axis counts
generations, it has a line `now` that the page moves: `data-x0` is where generation 0 lies, and
`data-dx` is the distance to the next one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 320
HEIGHT = 200
LEFT = 46
RIGHT = 10
TOP = 26
BOTTOM = 26
"""Size and margins of a chart, in units of its SVG."""

LONGEST = 46
"""Characters of a title that have room."""
LARGEST = 1e150
"""Values beyond it lie outside the axes, which could not be computed otherwise."""
WIDE = 30.0
"""Positive values that span more than this factor are shown on a log scale."""
NUMBERED = 8
"""Generations that have a number below the x axis, about."""

Point = tuple[int, float, float, float]
"""Generation, value, and the low and the high end of its error band."""


@dataclass(frozen=True)
class Axes:
    """Maps generations and values to places in a chart.

    last       the last generation on the x axis; the first is 0
    low, high  the values at the bottom and at the top
    log        whether the y axis is logarithmic
    """

    last: int
    low: float
    high: float
    log: bool = False

    @property
    def dx(self) -> float:
        """The distance between two generations."""
        return (WIDTH - LEFT - RIGHT) / max(1, self.last)

    def x(self, g: float) -> float:
        """Return where a generation lies."""
        return LEFT + g * self.dx

    def y(self, value: float) -> float:
        """Return where a value lies; one that is beyond the axis lies at its end."""
        low = self.low
        high = self.high
        if self.log:
            value = math.log10(max(value, low))
            low = math.log10(low)
            high = math.log10(high)

        share = (value - low) / (high - low)
        return TOP + (1 - min(1.0, max(0.0, share))) * (HEIGHT - TOP - BOTTOM)


def chart(
    title: str,
    described: str,
    parts: Sequence[str],
    *,
    counts_generations: Axes | None = None,
    explained: str = "",
) -> str:
    """Return a whole chart with these parts.

    described           what stands in it, for those who do not see it
    counts_generations  its axes, if x counts generations: the page moves a line over them
    explained           what a pointer on the title shows
    """
    label = title
    if described:
        label = f"{title}: {described}"
    shown = title
    if len(title) > LONGEST:
        shown = f"{title[: LONGEST - 3]}..."

    data = ""
    now = ""
    if counts_generations is not None:
        data = f' data-x0="{LEFT}" data-dx="{counts_generations.dx:.4f}"'
        now = f'<line class="now" x1="{LEFT}" x2="{LEFT}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(label, quote=True)}"{data}>'
        f'<text class="title" x="{LEFT - 36}" y="15">{escape(shown)}{_tip(explained)}</text>'
        f"{''.join(parts)}{now}</svg>"
    )


def _tip(text: str) -> str:
    if not text:
        return ""
    return f"<title>{escape(text)}</title>"


def fitted_axes(
    lines: Sequence[Sequence[Point]],
    last: int,
    floor: tuple[float, float, float] | None = None,
    *,
    from_zero: bool = False,
) -> Axes:
    """Return axes on which the lines with their bands, and the floor, can be seen.

    floor      centre of the floor's band, and its ends
    from_zero  whether 0 must be on a linear axis; else wide positive values get a log scale
    """
    centres = [value for points in lines for _, value, *_ in points]
    values = [value for points in lines for _, *band in points for value in band]
    if floor is not None and max(map(abs, floor)) <= LARGEST:
        centre, *ends = floor
        centres.append(centre)
        values += ends

    centres = [value for value in centres if abs(value) <= LARGEST]
    values = [value for value in values if abs(value) <= LARGEST]
    if from_zero:
        return _linear_axes([*values, 0.0], last)
    if centres and min(centres) >= 1 and max(centres) > WIDE * min(centres):
        # A wide error band may reach to 0 or below, where a log scale has no place for it.
        return _log_axes([value for value in values if value >= min(centres) / 2], last)
    return _linear_axes(values, last)


def _log_axes(values: Sequence[float], last: int) -> Axes:
    return Axes(last, min(values) / 1.1, max(values) * 1.1, log=True)


def _linear_axes(values: Sequence[float], last: int) -> Axes:
    """Return axes with some room at both ends; the lower end is 0 where that is close."""
    low = min(values, default=0.0)
    high = max(values, default=1.0)

    room = (high - low) * 0.06
    if room == 0:  # all values are equal
        room = abs(high) * 0.1
    if room == 0:  # and they are 0
        room = 1.0

    if 0 <= low < room * 3:
        return Axes(last, 0.0, high + room)
    return Axes(last, low - room, high + room)


def grid(axes: Axes) -> str:
    """Return the lines across a chart, with their values, and the numbers of the generations."""
    values = _ticks(axes)
    step = 0.0
    if not axes.log and len(values) > 1:
        step = values[1] - values[0]

    parts = []
    for value in values:
        y = axes.y(value)
        label = tick_label(value, step)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">{label}</text>'
        )

    every = max(1, math.ceil(axes.last / NUMBERED))
    for g in range(0, axes.last + 1, every):
        x = axes.x(g)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{g}</text>')
    return "".join(parts)


def _ticks(axes: Axes) -> list[float]:
    """Return about five round values within the axes."""
    if axes.log:
        return _log_ticks(axes)

    # The step is 1, 2, 5 or 10 times a power of ten.
    least = (axes.high - axes.low) / 4
    power = 10.0 ** math.floor(math.log10(least))
    steps = (power * times for times in (1, 2, 5) if power * times >= least)
    step = next(steps, power * 10)

    first = math.ceil(axes.low / step)
    last = math.floor(axes.high / step)
    return [times * step for times in range(first, last + 1)]


def _log_ticks(axes: Axes) -> list[float]:
    """Return 1 and 3 times the powers of ten within the axes, thinned out where they are many."""
    first = math.floor(math.log10(axes.low))
    last = math.ceil(math.log10(axes.high))
    values = [times * 10.0**power for power in range(first, last + 1) for times in (1, 3)]
    inside = [value for value in values if axes.low <= value <= axes.high]
    return inside[:: max(1, len(inside) // 5)]


def tick_label(value: float, step: float = 0.0) -> str:
    """Write a value beside an axis, with as many digits as tell it from the next one.

    step  the distance to the next value; 0: unknown, or not the same everywhere
    """
    if step > 1e-5 and abs(value) < 100_000:
        # Without the small number, rounding errors would give a step of 0.1 a second digit.
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return f"{value:.{digits}f}"

    if value and (abs(value) >= 100_000 or abs(value) < 0.001):
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:.4g}"
