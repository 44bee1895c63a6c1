"""The metrics of a run as a table of plain text, each column over its floor. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imglab.safe_text import one_line
from imglab.store.reading import is_number, metric_names

GAP = 2
"""Blanks before a column."""
FIRST_COLUMN = len("generation")
WITH_ERROR = 14
"""Characters that a value with an error takes."""
WITHOUT_ERROR = 8
IMAGE_EXTRACTORS = ("inception", "classifier", "self_supervised", "pixels")
LABELS = {
    "kid": "KID",
    "kid_standard": "KID x 1000, standardised",
    "vendi": "Vendi",
    "two_sample_auc": "two-sample AUC",
    "precision_bounded": "precision (bounded)",
    "recall_bounded": "recall (bounded)",
    "fid_shape": "FID (shape)",
    "precision_shape": "precision (shape)",
    "recall_shape": "recall (shape)",
    "precision_bounded_shape": "precision (bounded, shape)",
    "recall_bounded_shape": "recall (bounded, shape)",
    "precision_probabilistic": "precision (probabilistic)",
    "recall_probabilistic": "recall (probabilistic)",
}
SCALES = {"kid_standard": 1000.0}
"""Factors by which values are printed, so that their digits can be read."""


def frechet_label(extractor: str) -> str:
    """Name the Fréchet distance with its extractor: it is an FID for images only."""
    name = one_line(extractor.partition("@")[0])
    if name in IMAGE_EXTRACTORS:
        return f"FID ({name})"
    return f"FD ({name})"


def metric_label(name: str, row: Mapping[str, Any]) -> str:
    """Return the name of a metric as a reader sees it; `row` says which extractor was used."""
    if name == "fid":
        return frechet_label(row["extractor"])
    return LABELS.get(name, one_line(name.replace("_", " ")))


def format_table(rows: Sequence[Mapping[str, Any]], width: int = 120) -> str:
    """Return a line for the floor and one for each generation.

    Columns beyond `width` characters follow in further blocks. Below them stand what was measured
    and why metrics are undefined.
    """
    first = rows[0]
    blocks = []
    for columns in _fitting(metric_names(rows), first, width):
        lines = [_header(columns, first), _floor_line(columns, first)]
        lines += [_row_line(columns, row) for row in rows]
        blocks.append("\n".join(lines))

    described = (
        f"{first['extractor']}, {first['n_real']} real ({first['reference']}) "
        f"against {first['n_synthetic']} synthetic; "
        "floor: real against real at these sizes, mean and standard deviation"
    )
    reasons = [f"undefined: {reason}" for reason in undefined_reasons(rows)]
    lines = [described, *gate_lines(rows), *reasons]
    return "\n".join(["\n\n".join(blocks), *map(one_line, lines)])


def gate_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say whether generation 0 is a good model, and why not; nothing of runs without a gate."""
    gate = rows[0].get("generation0")
    if not isinstance(gate, Mapping):
        return []
    line = f"generation 0 is {gate['verdict']}"
    if gate["verdict"] == "unknown":
        line = "generation 0 is not judged"
    if gate["reasons"]:
        line += f": {'; '.join(gate['reasons'])}"
    if gate.get("not_asked"):
        line += f"; what measure.gate does not ask for: {'; '.join(gate['not_asked'])}"
    return [line]


def streamed(
    row: Mapping[str, Any], width: int = 120, first: Mapping[str, Any] | None = None
) -> tuple[str, str]:
    """Return (header with floor, line) of one generation, for a table that grows.

    It has one block, with the metrics of the headline first.

    first  the generation whose columns the table has; None: this one's
    """
    first = first or row
    names = metric_names([first])
    leading = [name for name in first.get("headline", ()) if name in names]
    ordered = [*leading, *(name for name in names if name not in leading)]
    columns = _fitting(ordered, first, width)[0]
    return f"{_header(columns, first)}\n{_floor_line(columns, first)}", _line(columns, row, first)


def undefined_reasons(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return why metrics of any generation are undefined, as `<metric>: <reason>`, each once."""
    shown = set(metric_names(rows))
    reasons = {
        f"{name}: {reason}"
        for row in rows
        for name, reason in row["reasons"].items()
        if name in shown
    }
    return sorted(reasons)


def value_text(row: Mapping[str, Any], name: str) -> str:
    """Write a generation's value of a metric, with its standard error if there is one."""
    return _with_error(row.get(name), row.get(f"{name}_se"), SCALES.get(name, 1.0))


def floor_text(row: Mapping[str, Any], name: str) -> str:
    """Write the floor of a metric with its standard deviation; `-` if it has none."""
    floor = row["floor"].get(name)
    if floor is None:
        return "-"
    return _with_error(floor["mean"], floor["sd"], SCALES.get(name, 1.0))


def _fitting(names: Sequence[str], row: Mapping[str, Any], width: int) -> list[list[str]]:
    """Split columns into blocks of at most `width` characters, with at least one column each."""
    blocks: list[list[str]] = [[]]
    used = FIRST_COLUMN
    for name in names:
        wide = GAP + _column_width(name, row)
        if used + wide > width and blocks[-1]:
            blocks.append([])
            used = FIRST_COLUMN

        blocks[-1].append(name)
        used += wide
    return blocks


def _column_width(name: str, row: Mapping[str, Any]) -> int:
    least = WITHOUT_ERROR
    if f"{name}_se" in row or row["floor"].get(name):
        least = WITH_ERROR
    return max(len(metric_label(name, row)), least)


def _header(columns: Sequence[str], row: Mapping[str, Any]) -> str:
    return _joined("generation", [metric_label(name, row) for name in columns], columns, row)


def _floor_line(columns: Sequence[str], row: Mapping[str, Any]) -> str:
    return _joined("floor", [floor_text(row, name) for name in columns], columns, row)


def _row_line(columns: Sequence[str], row: Mapping[str, Any]) -> str:
    return _line(columns, row, row)


def _line(columns: Sequence[str], row: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    """Return the line of a generation; `first` says how wide the columns are."""
    cells = [value_text(row, name) for name in columns]
    return _joined(str(row["generation"]), cells, columns, first)


def _joined(
    title: str, cells: Sequence[str], columns: Sequence[str], row: Mapping[str, Any]
) -> str:
    """Return a line of the table; the cells stand at the right of their columns."""
    line = f"{title:{FIRST_COLUMN}}"
    for name, cell in zip(columns, cells, strict=True):
        line += f"{'':{GAP}}{cell:>{_column_width(name, row)}}"
    return line


def _with_error(value: Any, error: Any, scale: float) -> str:
    """Write a value and its error, times `scale`; a value that is not a number is undefined."""
    if not is_number(value):
        return "undefined"
    if not is_number(error):
        return number_text(value * scale)
    return f"{number_text(value * scale)} ±{number_text(error * scale)}"


def number_text(value: float) -> str:
    """Write a number with about four digits."""
    if value == 0 or 0.0005 <= abs(value) < 9.9995:
        return f"{value:.3f}"
    if abs(value) >= 1:
        return f"{value:.4g}"
    return f"{value:.1e}"


def text_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines whose columns stand below each other, the first one left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *cells in rows:
        line = f"{first:{widths[0]}}"
        for cell, width in zip(cells, widths[1:], strict=True):
            line += f"  {cell:>{width}}"
        lines.append(line.rstrip())
    return lines
