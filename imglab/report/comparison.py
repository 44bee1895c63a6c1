"""Two runs beside each other, in the terminal: what differs, and what came of it. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imglab.errors import InputError, Problem
from imglab.report.arms import Arm, comparable, differences, read_arms
from imglab.report.table import (
    SCALES,
    floor_text,
    metric_label,
    number_text,
    text_table,
    value_text,
)
from imglab.report.values import standard_error
from imglab.safe_text import one_line
from imglab.store.listing import is_group, is_run
from imglab.store.reading import is_number, metric_names

WIDEST = 40
"""Characters of a value of a config that are shown."""
MEASURED_WITH = ("kinds of data", "data", "extractors", "references", "real sizes", "sample sizes")
"""What `Arm.measured_with` holds, in its order."""


@dataclass(frozen=True)
class Comparison:
    """Two runs, in the last generation that both have finished.

    measured_alike  whether extractor, reference and sizes are the same, so that numbers compare
    """

    first: Arm
    second: Arm
    generation: int
    measured_alike: bool

    @property
    def rows(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The metrics of both in that generation."""
        return self.first.rows[self.generation], self.second.rows[self.generation]

    @property
    def metrics(self) -> list[str]:
        """The metrics that both have, the headlines of the first run before the others."""
        one, other = self.rows
        names = [name for name in metric_names([one]) if name in metric_names([other])]
        leading = [name for name in one.get("headline", ()) if name in names]
        return [*leading, *(name for name in names if name not in leading)]

    @property
    def differs(self) -> dict[str, list[Any]]:
        """The keys in which the configs differ, with both values."""
        return differences([self.first, self.second])

    @property
    def measured_differently(self) -> list[str]:
        """What the two were not measured alike with; empty where their numbers compare.

        Data of another kind are other data, and so have other references.
        """
        pairs = zip(self.first.measured_with, self.second.measured_with, strict=True)
        names = [
            name for name, (one, other) in zip(MEASURED_WITH, pairs, strict=True) if one != other
        ]
        if "kinds of data" in names:
            return [name for name in names if name not in ("data", "references")]
        return names

    def difference(self, name: str) -> tuple[float | None, float | None]:
        """Return second - first of a metric, and its standard error.

        None where a value is undefined, or where the runs were measured in different ways. The
        errors count as independent.
        """
        one, other = self.rows
        if not (self.measured_alike and is_number(one.get(name)) and is_number(other.get(name))):
            return None, None
        error = None
        if is_number(one.get(f"{name}_se")) and is_number(other.get(f"{name}_se")):
            error = math.hypot(standard_error(one, name), standard_error(other, name))
        return other[name] - one[name], error

    def as_json(self) -> dict[str, Any]:
        """Return all of it for `--json`."""
        one, other = self.rows
        return {
            "runs": [str(self.first.folder), str(self.second.folder)],
            "generation": self.generation,
            "measured_alike": self.measured_alike,
            "measured_differently": self.measured_differently,
            "differs": self.differs,
            "metrics": {name: self._metric(name, one, other) for name in self.metrics},
        }

    def _metric(
        self, name: str, one: Mapping[str, Any], other: Mapping[str, Any]
    ) -> dict[str, Any]:
        difference, error = self.difference(name)
        return {
            "values": [one.get(name), other.get(name)],
            "errors": [one.get(f"{name}_se"), other.get(f"{name}_se")],
            "difference": difference,
            "difference_se": error,
        }


def compare(first: Path, second: Path) -> Comparison:
    """Compare two run directories; InputError if one is none, or has no finished generation."""
    for folder in (first, second):
        if is_group(folder):
            remedy = f"imglab report {folder}, or name one run in it"
            raise InputError(Problem(str(folder), "holds several runs", remedy))
        if not is_run(folder):
            what = "is not a run directory"
            raise InputError(Problem(str(folder), what, "`imglab ls` lists the runs of a folder"))

    one, other = (read_arms([folder])[0] for folder in (first, second))
    generation = min(len(one.rows), len(other.rows)) - 1
    return Comparison(one, other, generation, len(comparable([one, other])) == 1)


def format_comparison(comparison: Comparison) -> str:
    """Return the comparison as plain text."""
    one, other = comparison.rows
    lines = [*_warning(comparison), f"A  {comparison.first.folder}"]
    lines += [f"B  {comparison.second.folder}", ""]

    settings = [[key, *map(_setting, values)] for key, values in comparison.differs.items()]
    if settings:
        lines += text_table([["what differs", "A", "B"], *settings])
    else:
        lines.append("their configs do not differ")

    title = f"generation {comparison.generation}"
    cells = [[title, "floor of A", "A", "B", "B - A"]]
    if not comparison.measured_alike:
        cells = [[title, "floor of A", "A", "floor of B", "B"]]
    for name in comparison.metrics:
        values = [value_text(one, name), value_text(other, name)]
        if comparison.measured_alike:
            values.append(_difference_text(name, *comparison.difference(name)))
        else:
            values.insert(1, floor_text(comparison.second.rows[0], name))
        floor = floor_text(comparison.first.rows[0], name)
        cells.append([metric_label(name, one), floor, *values])
    return "\n".join(map(one_line, [*lines, "", *text_table(cells), *_notes(comparison)]))


def _warning(comparison: Comparison) -> Iterator[str]:
    """Yield what a reader must know before the first number."""
    if not comparison.measured_alike:
        *others, last = comparison.measured_differently
        names = " and ".join(filter(None, [", ".join(others), last]))
        yield f"NOT COMPARABLE: measured with different {names}."
        yield "Each number beside its own floor says something; A beside B says nothing."
        yield ""


def _notes(comparison: Comparison) -> Iterator[str]:
    """Yield what a reader must know before reading anything into a difference."""
    if comparison.measured_alike:
        yield ""
        yield "errors are one standard error of measuring one run; whether another seed would say"
        yield "the same is a question for a sweep (imglab sweep)"


def _setting(value: Any) -> str:
    text = "-" if value is None else str(value)
    if len(text) > WIDEST:
        return f"{text[:WIDEST]}..."
    return text


def _difference_text(name: str, difference: float | None, error: float | None) -> str:
    if difference is None:
        return "-"
    scale = SCALES.get(name, 1.0)
    sign = ""
    if difference > 0:
        sign = "+"
    text = f"{sign}{number_text(difference * scale)}"
    if error is None:
        return text
    return f"{text} ±{number_text(error * scale)}"
