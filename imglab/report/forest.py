"""A forest plot: the interval of each finding against the region in which it must lie, as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

from imglab.report.svg import SHAPES
from imglab.report.svg_frame import tick_label

WIDTH = 420
HEIGHT = 30
EDGE = 8
"""Size of a row and its margins, in units of its SVG."""
LINE = 11
"""Where the interval lies; numbers stand below it."""
ROOM = 0.12
"""Share of the range that is left free at both ends."""
COLOURS: Mapping[str, int] = {"holds": 2, "does not hold": 1, "not decided": 6}
"""Colour and mark of each verdict in the page's palette."""
MEASURED = 0
"""Colour of an interval about which nothing is claimed."""


def forest_row(finding: Mapping[str, Any], verdict: str | None) -> str:
    """Return a row: the region as a band, the interval as a line, the estimate as a mark.

    Each row has a scale of its own, logarithmic for ratios, since the quantities have different
    units. An interval without an end goes to the edge; an undefined one is an empty row.

    finding  with estimate, low, high, above, below and unit, as claims.json has it
    verdict  None: a measurement, whose region is not drawn
    """
    above = finding["above"]
    below = finding["below"]
    if verdict is None:
        above = below = None

    label = escape(_described(finding, verdict), quote=True)
    frame = f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
    points = [finding["low"], finding["estimate"], finding["high"], above, below]
    scale = _Scale([value for value in points if value is not None], finding["unit"] == "ratio")
    if finding["estimate"] is None or not scale.usable:
        return f"{frame}</svg>"

    parts = [_region(scale, above, below), *_interval(scale, finding, verdict)]
    for bound in (above, below):
        if bound is not None:
            parts.append(_number(scale, bound))
    return f"{frame}{''.join(parts)}</svg>"


class _Scale:
    """Maps values to places in a row."""

    def __init__(self, values: list[float], logarithmic: bool) -> None:
        self._log = logarithmic and bool(values) and min(values) > 0
        places = [self._place(value) for value in values]
        self.usable = bool(places) and all(map(math.isfinite, places))
        if self.usable:
            span = (max(places) - min(places)) or abs(places[0]) or 1.0
            self._low = min(places) - ROOM * span
            self._high = max(places) + ROOM * span

    def x(self, value: float | None, otherwise: float) -> float:
        """Return where a value lies; one that is undefined lies at `otherwise`."""
        if value is None:
            return otherwise
        share = (self._place(value) - self._low) / (self._high - self._low)
        return EDGE + min(1.0, max(0.0, share)) * (WIDTH - 2 * EDGE)

    def _place(self, value: float) -> float:
        if self._log:
            return math.log(value)
        return value


def _region(scale: _Scale, above: float | None, below: float | None) -> str:
    if above is None and below is None:
        return ""
    left = scale.x(above, EDGE)
    right = scale.x(below, WIDTH - EDGE)
    width = max(1.0, right - left)
    return f'<rect class="floor" x="{left:.1f}" y="2" width="{width:.1f}" height="18"/>'


def _interval(scale: _Scale, finding: Mapping[str, Any], verdict: str | None) -> list[str]:
    """Return the line of an interval and the mark of its estimate."""
    colour = MEASURED
    if verdict is not None:
        colour = COLOURS[verdict]

    left = scale.x(finding["low"], EDGE)
    right = scale.x(finding["high"], WIDTH - EDGE)
    middle = scale.x(finding["estimate"], left)
    return [
        f'<polyline class="line s{colour}" points="{left:.1f},{LINE} {right:.1f},{LINE}"/>',
        f'<path class="dot s{colour}" transform="translate({middle:.1f} {LINE})" '
        f'd="{SHAPES[colour]}"/>',
    ]


def _number(scale: _Scale, bound: float) -> str:
    x = scale.x(bound, EDGE)
    return f'<text x="{x:.1f}" y="{HEIGHT - 1}" text-anchor="middle">{tick_label(bound)}</text>'


def _described(finding: Mapping[str, Any], verdict: str | None) -> str:
    """Say a row in words, for those who do not see it."""
    text = f"{finding['says']}: {interval_text(finding)}"
    if verdict is None:
        return text
    return f"{text}, must be {finding['required']}: {verdict}"


def interval_text(finding: Mapping[str, Any]) -> str:
    """Return an estimate with its interval, with three digits."""
    texts = []
    for key in ("estimate", "low", "high"):
        value = finding[key]
        texts.append("undefined" if value is None else f"{value:.3g}")
    if finding["estimate"] is None:
        return "undefined"
    return f"{texts[0]} ({texts[1]} to {texts[2]})"
