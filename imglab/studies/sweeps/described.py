"""What a sweep's directory says was fixed before it ran: contrasts and the early warning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from imglab.errors import InputError, Problem
from imglab.store import files, layout
from imglab.studies.sweeps.config import Contrast
from imglab.studies.sweeps.warning_config import EarlyWarning

ADDED = "added_contrasts"
"""Key of the contrasts that were added to a sweep when runs had finished generations already."""


def read_described(folder: Path) -> tuple[list[dict[str, Any]], EarlyWarning]:
    """Return the contrasts of a sweep, each with its generation, and its early warning.

    Sweeps that were made before there were warnings have the default one. InputError if sweep.json
    is damaged.
    """
    path = folder / layout.SWEEP
    described = files.read_signed(path, ("arms", "seeds", "contrasts", "generations"))
    try:
        contrasts = [Contrast.model_validate(each) for each in described["contrasts"]]
        warning = EarlyWarning.model_validate(described.get("warning", {}))
        last = {arm: int(count) - 1 for arm, count in described["generations"].items()}
    except (ValidationError, TypeError, ValueError, AttributeError) as error:
        what = "has contrasts, generations or a warning of the wrong kind"
        raise InputError(Problem(str(path), what, files.DAMAGED)) from error

    added = described.get(ADDED, [])
    questions = []
    for contrast in contrasts:
        generation = contrast.generation
        if generation is None:
            generation = min((last[arm] for arm in contrast.arms if arm in last), default=None)
        question = {**contrast.model_dump(), "generation": generation}
        if contrast.model_dump() in added:
            question["added"] = True
        questions.append(question)
    return questions, warning
