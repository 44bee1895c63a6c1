"""The collapse profile of a run, as plain text and for the page. No torch."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imglab.report.arms import Arm
from imglab.report.values import Rows
from imglab.safe_text import one_line
from imglab.store.reading import read_format
from imglab.studies.profile import ProfileRow, collapse_profile

NOTE = (
    "Eight definitions of model collapse (Schaeffer et al. 2025, arXiv 2503.03150), each answered "
    "by itself from the generations of this one chain, with 95% intervals; the thresholds are this "
    "lab's. Another seed may answer otherwise."
)
NUMBER = 9
"""Characters of a number."""


def profile_of(folder: Path, rows: Rows) -> list[ProfileRow]:
    """Return the collapse profile of the run in `folder` whose metrics are `rows`."""
    return collapse_profile(rows, format_version=read_format(folder))


def measured(folder: Path, rows: Rows) -> dict[str, Any]:
    """Return everything that was measured of a run, as `imglab metrics --json` prints it."""
    return {
        "run": str(folder),
        "generation0": rows[0].get("generation0"),
        "generations": rows,
        "profile": [row.as_json() for row in profile_of(folder, rows)],
    }


def profiles(arms: Sequence[Arm]) -> dict[str, Any]:
    """Return the profiles' part of the template's values: a table for each arm."""
    tables = [_table(arm) for arm in arms]
    return {"profiles": tables, "profile_note": NOTE}


def format_profile(profile: Sequence[ProfileRow], width: int = 120) -> str:
    """Return a line for each definition: verdict, number, interval; its reason stands below."""
    widest = max(len(row.name) for row in profile)
    lines = []
    for row in profile:
        numbers = f"{number_text(row):>{NUMBER}}  {interval_text(row)}"
        lines.append(f"{row.name:{widest}}  {row.verdict:11}  {numbers}".rstrip())
        reason = one_line(row.reason)
        lines += textwrap.wrap(reason, width, initial_indent="    ", subsequent_indent="    ")
    return "\n".join([*lines, *textwrap.wrap(NOTE, width)])


def number_text(row: ProfileRow) -> str:
    """Write a row's number; blank if nothing was measured."""
    if row.number is None:
        return ""
    return f"{row.number:.3g}"


def interval_text(row: ProfileRow) -> str:
    """Write the ends of a row's interval; blank if it has none."""
    if row.interval is None:
        return ""
    low, high = row.interval
    return f"{low:.3g} to {high:.3g}"


def _table(arm: Arm) -> dict[str, Any]:
    title = arm.name
    if arm.seeds > 1:
        title += " (first seed)"

    profile = profile_of(arm.folder, arm.rows)
    cells = [
        (row.name, row.definition, row.verdict, number_text(row), interval_text(row), row.reason)
        for row in profile
    ]
    return {"title": title, "rows": cells}
