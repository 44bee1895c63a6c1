"""Which values of a metric can be drawn, and how uncertain they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imglab.store.reading import is_number

Rows = Sequence[Mapping[str, Any]]
"""The metrics of a run's generations, in order."""


def defined_rows(rows: Rows, metric: str) -> list[Mapping[str, Any]]:
    """Return the generations in which a metric is a number."""
    return [row for row in rows if is_number(row.get(metric))]


def standard_error(row: Mapping[str, Any], metric: str) -> float:
    """Return the standard error of a generation's metric; 0 if it has none."""
    error: Any = row.get(f"{metric}_se")
    if not is_number(error):
        return 0.0
    return float(error)
