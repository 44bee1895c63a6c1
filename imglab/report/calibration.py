"""What metrics react to, on the page of runs of the calibrated extractor. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from imglab.errors import InputError, Problem
from imglab.report.arms import Arm
from imglab.safe_text import one_line
from imglab.store import files
from imglab.studies.calibration.table import LEGEND, NO_FEATURES, RESULT, cell, unseen


def calibration_tables(folder: Path | None, arms: Sequence[Arm]) -> dict[str, Any]:
    """Return the calibration's part of the template's values; None: there is none.

    InputError if the directory holds no calibration, or one of other extractors than the arms'.
    """
    if folder is None:
        return {"calibration": []}

    path = folder / RESULT
    if not path.is_file():
        what = "is not a calibration: it has no calibration.json"
        raise InputError(Problem(str(folder), what, "give what `imglab calibrate` has written"))
    result = files.read_json(path, ("damages", "scores"))
    extractors = {str(arm.rows[0]["extractor"]) for arm in arms if arm.rows}

    # The file may come from a stranger.
    try:
        tables = list(_tables(result, extractors))
        calibrated = [str(scores["source"]) for scores in result["scores"]]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        what = "is damaged: it has not the form of a calibration"
        raise InputError(Problem(str(path), what, "calibrate again")) from error

    if not extractors & set(calibrated):
        what = (
            f"is a calibration of {', '.join(calibrated)}; the runs were measured with "
            f"{', '.join(sorted(extractors))}"
        )
        raise InputError(Problem(str(path), what, "imglab calibrate the config of the run"))
    return {"calibration": tables, "calibration_legend": LEGEND}


def _tables(result: Mapping[str, Any], extractors: set[str]) -> Iterator[dict[str, Any]]:
    """Yield a table for each of the extractors, and for what needs none."""
    damages = list(result["damages"])
    for scores in result["scores"]:
        if scores["source"] not in {*extractors, NO_FEATURES}:
            continue

        rows = [
            (one_line(metric), [cell(reactions[name]) for name in damages])
            for metric, reactions in scores["reactions"].items()
        ]
        blind = [
            f"{one_line(', '.join(metrics))}: {one_line(', '.join(names)) or 'nothing here'}"
            for names, metrics in unseen(result, scores).items()
        ]
        yield {
            "title": one_line(scores["source"].partition("@")[0]),
            "damages": [one_line(name) for name in damages],
            "rows": rows,
            "blind": blind,
        }
