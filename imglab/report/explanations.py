"""What each metric says, in a sentence, and its range: docs/metrics.md in short."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from imglab.report.assets import asset

Range = tuple[float | None, float | None]
"""The least and the greatest value that a metric can have; None: there is no bound."""

WITHOUT: Range = (None, None)
POSITIVE: Range = (0.0, None)
SHARE: Range = (0.0, 1.0)
UNSAID: Mapping[str, Range] = {
    "density": POSITIVE,
    "variance_ratio": POSITIVE,
    "contrast_ratio": POSITIVE,
    "nearest_distance": POSITIVE,
    "gzip_ratio": POSITIVE,
    "two_sample_auc": SHARE,
    "memorization": SHARE,
    "class_agreement": SHARE,
    "class_rejected_share": SHARE,
    "group_rejected_share": SHARE,
}
"""Ranges of metrics of which the table says what is good instead."""


@dataclass(frozen=True)
class Explanation:
    """What a metric says, and its range and which values are better, in words."""

    says: str
    better: str


def explanation(metric: str) -> Explanation | None:
    """Return what a metric says; None of metrics that other packages add."""
    return _table().get(metric)


def range_of(metric: str) -> Range:
    """Return in which range a metric lies, as far as the table knows."""
    if metric in UNSAID:
        return UNSAID[metric]
    explained = explanation(metric)
    if explained is None:
        return WITHOUT

    interval = re.match(r"(\d+)(?: \(.*?\))? to (\d+)", explained.better)
    if interval:
        return float(interval[1]), float(interval[2])
    least = re.match(r">= (\d+)|(\d+) to ", explained.better)
    if least:
        return float(least[1] or least[2]), None
    return WITHOUT


def within(metric: str, value: float, error: float) -> tuple[float, float]:
    """Return the ends of the band `error` around a value, as far as the metric's range goes."""
    return clipped_band(metric, value, value - error, value + error)


def clipped_band(metric: str, value: float, low: float, high: float) -> tuple[float, float]:
    """Return a band around a value without what lies outside the metric's range."""
    least, greatest = range_of(metric)
    if least is not None:
        low = max(low, min(least, value))
    if greatest is not None:
        high = min(high, max(greatest, value))
    return low, high


@cache
def _table() -> dict[str, Explanation]:
    """Read page/metrics.md: rows of names, what they say, and what is better."""
    table = {}
    for line in asset("metrics.md").splitlines():
        names, says, better = (cell.strip() for cell in line.strip("|").split(" | "))
        for name in _names(names):
            table[name] = Explanation(_sentence(says), _plain(better))
    return table


def _names(cell: str) -> Iterator[str]:
    """Yield the names in a cell such as `distinct_1`, `_2`."""
    first = ""
    for name in re.findall(r"`([^`]+)`", cell):
        if name.startswith("..."):
            continue
        if name.startswith("_"):
            name = first[: -len(name)] + name
        first = first or name
        yield name


def _plain(text: str) -> str:
    """Return a cell without the marks of Markdown."""
    return text.replace("`", "").replace("*", "")


def _sentence(text: str) -> str:
    plain = _plain(text)
    return plain[:1].upper() + plain[1:]
