"""Survival tables: how much is left of each class or band of words, and when nothing is left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from imglab.report.values import Rows
from imglab.store.reading import is_number

SURVIVALS = {
    "class_survival": "samples of each class, relative to real data",
    "tenth_survival": "samples of each tenth of the classes, rarest first",
    "word_survival": "words left, by count in real text",
    "survival": "categories left, by real frequency",
}
"""Metrics that are survival tables, with what their numbers mean."""
BY_CLASSIFIER = ("class_survival", "tenth_survival")
"""Those that count what a classifier says of images."""
CHANCE = "_by_chance"
"""Ends the name of a table that says what chance alone would leave."""
MOST_LINES = 20
"""Parts of a table that a chart shows."""


def part_of(row: Mapping[str, Any], name: str, part: str) -> float | None:
    """Return the number that table `name` has for one of its parts, or None if it has none."""
    table = row.get(name)
    if not isinstance(table, dict):
        return None

    value: float | None = table.get(part)
    if not is_number(value):
        return None
    return value


def defined_parts(rows: Rows, name: str, part: str) -> list[tuple[int, float]]:
    """Return (generation, number) of a part wherever the table has a number for it."""
    values = [(row["generation"], part_of(row, name, part)) for row in rows]
    return [(g, value) for g, value in values if value is not None]


def extinction_times(rows: Rows, name: str) -> dict[str, int | None]:
    """Return the generation from which each part of a survival table is extinct for good.

    None says that something is left of it in the last generation, or that this is not known.
    """
    return {part: _extinct_from(rows, name, part) for part in rows[0][name]}


def _extinct_from(rows: Rows, name: str, part: str) -> int | None:
    extinct_from = None
    for row in reversed(rows):
        value = part_of(row, name, part)
        if value is None or value > 0:
            break
        extinct_from = row["generation"]
    return extinct_from


def counted_by(rows: Rows, name: str) -> str:
    """Say how well the classifier knows real images by which classes are counted; "" if none does.

    One that gives every image the same label leaves nothing of the other classes, whatever a model
    drew.
    """
    accuracy = part_of(rows[0], "class_accuracy", "classifier")
    if name not in BY_CLASSIFIER or accuracy is None:
        return ""
    return f"as a classifier sees it that is right for {accuracy:.0%} of real images"


def survival_tables(rows: Rows, names: Iterable[str] = tuple(SURVIVALS)) -> list[str]:
    """Return those of the tables `names` that a run has."""
    return [name for name in names if isinstance(rows[0].get(name), dict) and rows[0][name]]
