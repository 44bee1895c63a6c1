"""The metrics of a run as a table of plain text, each column over its floor. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imglab.safe_text import one_line
from imglab.store.reading import is_number, metric_names

GAP = 2


def frechet_label(extractor: str) -> str:
    """Name the Fréchet distance with its extractor: it is an FID for images only."""
    name = one_line(extractor.partition("@")[0])
    return f"FID ({name})" if name in ("inception", "classifier", "pixels") else f"FD ({name})"


def metric_label(name: str, row: Mapping[str, Any]) -> str:
    """Return what a person reads above a metric."""
    if name == "fid":
        return frechet_label(row["extractor"])
    return {"kid": "KID", "vendi": "Vendi"}.get(name, one_line(name.replace("_", " ")))


def format_table(rows: Sequence[Mapping[str, Any]], width: int = 120) -> str:
    """Return a row for the floor and one for each generation; columns beyond `width` follow in further blocks."""
    first, blocks = rows[0], []
    for columns in _fitting(metric_names(rows), first, width):
        lines = [_header(columns, first), _floor_line(columns, first)]
        blocks.append("\n".join([*lines, *(_row_line(columns, row) for row in rows)]))
    described = one_line(
        f"{first['extractor']}, {first['n_real']} real ({first['reference']}) against {first['n_synthetic']} synthetic"
        "; floor: real against real at these sizes, mean and standard deviation"
    )
    shown = set(metric_names(rows))
    reasons = {
        f"{name}: {reason}"
        for row in rows
        for name, reason in row["reasons"].items()
        if name in shown
    }
    return "\n".join(
        [
            "\n\n".join(blocks),
            described,
            *(one_line(f"undefined: {reason}") for reason in sorted(reasons)),
        ]
    )


def streamed(row: Mapping[str, Any], width: int = 120) -> tuple[str, str]:
    """Return (header with floor, line) of one generation, for a table that grows: what a person looks at first."""
    names = metric_names([row])
    first = [name for name in row.get("headline", ()) if name in names]
    columns = _fitting([*first, *(name for name in names if name not in first)], row, width)[0]
    return f"{_header(columns, row)}\n{_floor_line(columns, row)}", _row_line(columns, row)


def _fitting(names: Sequence[str], row: Mapping[str, Any], width: int) -> list[list[str]]:
    """Split columns into blocks of at most `width` characters, at least one column each."""
    blocks: list[list[str]] = [[]]
    used = start = len("generation")
    for name in names:
        wide = _column_width(name, row) + GAP
        if used + wide > width and blocks[-1]:
            blocks.append([])
            used = start
        blocks[-1].append(name)
        used += wide
    return blocks


def _column_width(name: str, row: Mapping[str, Any]) -> int:
    return max(
        len(metric_label(name, row)), 14 if f"{name}_se" in row or row["floor"].get(name) else 8
    )


def _header(columns: Sequence[str], row: Mapping[str, Any]) -> str:
    labels = [
        f"{' ' * GAP}{metric_label(name, row):>{_column_width(name, row)}}" for name in columns
    ]
    return "generation" + "".join(labels)


def _floor_line(columns: Sequence[str], row: Mapping[str, Any]) -> str:
    cells = []
    for name in columns:
        floor = row["floor"].get(name)
        text = "-" if floor is None else with_error(floor["mean"], floor["sd"])
        cells.append(f"{' ' * GAP}{text:>{_column_width(name, row)}}")
    return f"{'floor':10}" + "".join(cells)


def _row_line(columns: Sequence[str], row: Mapping[str, Any]) -> str:
    cells = []
    for name in columns:
        text = with_error(row.get(name), row.get(f"{name}_se"))
        cells.append(f"{' ' * GAP}{text:>{_column_width(name, row)}}")
    return f"{row['generation']:<10}" + "".join(cells)


def with_error(value: Any, error: Any) -> str:
    """Write a value and its standard error; what is no number is undefined."""
    if not is_number(value):
        return "undefined"
    return f"{_short(value)} ±{_short(error)}" if is_number(error) else _short(value)


def _short(value: float) -> str:
    if value == 0 or 0.0005 <= abs(value) < 9.9995:
        return f"{value:.3f}"
    return f"{value:.4g}" if abs(value) >= 1 else f"{value:.1e}"
