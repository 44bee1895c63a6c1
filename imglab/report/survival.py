"""Tables of what is left of each class, or band of words, and when nothing is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from imglab.store.reading import is_number

SURVIVALS = {
    "class_survival": "samples of each class, relative to real data",
    "tenth_survival": "samples of each tenth of the classes, rarest first",
    "word_survival": "words left, by count in real text",
    "survival": "categories left, by real frequency",
}
CHANCE = "_by_chance"
MOST_LINES = 20

Rows = Sequence[Mapping[str, Any]]


def part_of(row: Mapping[str, Any], name: str, part: str) -> float | None:
    """Return the number that a table of a generation's metrics has for one of its parts; None where it has none."""
    table = row.get(name)
    value = table.get(part) if isinstance(table, dict) else None
    return value if is_number(value) else None


def extinction_times(rows: Rows, name: str) -> dict[str, int | None]:
    """Return, for each part of a survival table, the generation from which nothing is left of it; None: some is."""
    found: dict[str, int | None] = {}
    for part in rows[0][name]:
        values = [part_of(row, name, part) for row in rows]
        alive = [at for at, value in enumerate(values) if value is None or value > 0]
        first = alive[-1] + 1 if alive else 0
        found[part] = rows[first]["generation"] if first < len(rows) else None
    return found


def survival_tables(rows: Rows, names: Iterable[str] = tuple(SURVIVALS)) -> list[str]:
    """Return the names of the survival tables, or of others, that a run has."""
    return [name for name in names if isinstance(rows[0].get(name), dict) and rows[0][name]]
