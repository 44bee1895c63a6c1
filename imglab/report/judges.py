"""Whether further networks put the generations in the order in which the extractor does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from imglab.errors import InputError
from imglab.report.arms import Arm
from imglab.report.values import Rows
from imglab.safe_text import one_line
from imglab.store.files import read_json
from imglab.store.layout import JUDGES
from imglab.store.reading import is_number, metric_value

AGREES = 0.8
"""Spearman's correlation from which on a judge is said to agree."""


def judges_notes(arms: Sequence[Arm]) -> Iterator[str]:
    """Yield for each arm that judges have scored whether they agree with its extractor.

    Judges are those of `modality.judges`, and those that `imglab judge` has asked.
    """
    for arm in arms:
        try:
            agreements = {**_of_rows(arm.rows), **_of_file(arm)}
        except InputError as error:
            yield f"{arm.name}: {one_line(str(error))}"
            continue
        if agreements:
            extractor = one_line(str(arm.rows[0]["extractor"]).partition("@")[0])
            said = "; ".join(_said(name, value) for name, value in agreements.items())
            yield (
                f"{arm.name}: do judges put the generations in the order of the FID of {extractor}?"
                f" {said} (Spearman's correlation of their FID; {AGREES:g} or more is agreement)"
            )


def _of_rows(rows: Rows) -> Mapping[str, float | None]:
    """Return the correlation over the generations of each judge that the run has itself."""
    judges = rows[0].get("fid_by_judge") or {}
    return {name: _correlation(rows, f"fid_by_judge.{name}") for name in judges}


def _correlation(rows: Rows, name: str) -> float | None:
    from imglab.metrics import Undefined
    from imglab.metrics.rank_correlation import spearman_of_defined

    of_extractor = [metric_value(row, "fid") for row in rows]
    of_judge = [metric_value(row, name) for row in rows]
    try:
        return spearman_of_defined(of_extractor, of_judge)
    except Undefined:
        return None


def _of_file(arm: Arm) -> Mapping[str, float | None]:
    """Return what `imglab judge` wrote of a run; InputError if it cannot be read."""
    path = arm.folder / JUDGES
    if not path.is_file():
        return {}
    agreement = read_json(path, ("agreement",))["agreement"]
    return {str(name): value if is_number(value) else None for name, value in agreement.items()}


def _said(name: str, value: float | None) -> str:
    """Say whether one judge agrees."""
    judge = one_line(name.partition("@")[0])
    if value is None:
        return f"{judge}: not decided by so few generations"
    if value >= AGREES:
        return f"{judge}: yes, {value:.2f}"
    return f"{judge}: no, {value:.2f}"
