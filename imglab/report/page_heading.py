"""The heading of a page: title, verdict, what the arms are, and what a reader has to know first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from imglab.report.arms import Arm, comparable
from imglab.report.first_generation import trained_on
from imglab.report.gallery import Gallery
from imglab.report.judges import judges_notes
from imglab.report.verdict import count, verdict

MOST_NAMES = 4
"""Arms whose names stand in the title; more of them are only counted."""
MOST_NUMBERS = 30
"""Generations that a note lists one by one."""


def heading(arms: Sequence[Arm], gallery: Gallery, damaged: Sequence[str]) -> dict[str, Any]:
    """Return the heading's part of the template's values.

    arms     all arms, those without a finished generation, too
    damaged  more notes: which arms' per-sample values could not be read, and why
    """
    with_rows = [arm for arm in arms if arm.rows]
    return {
        "title": _title(arms),
        "verdict": verdict(with_rows),
        "subtitle": _subtitle(with_rows),
        "notes": [*_notes(arms, gallery), *judges_notes(with_rows), *damaged],
    }


def _title(arms: Sequence[Arm]) -> str:
    if len(arms) > MOST_NAMES:
        return f"{len(arms)} arms"
    return " · ".join(arm.name for arm in arms)


def _subtitle(arms: Sequence[Arm]) -> str:
    kinds = dict.fromkeys(arm.kind for arm in arms)
    parts = [", ".join(kinds)]
    if len(arms) > 1:
        parts.append(f"{len(arms)} arms")
    else:
        parts.append(f"regime {getattr(arms[0].config.regime, 'kind', '')}")

    longest = max(len(arm.rows) for arm in arms)
    parts.append(f"{count(longest)}, number 0 trained on {trained_on(arms)}")

    seeds = max(arm.seeds for arm in arms)
    if seeds > 1:
        parts.append(f"{seeds} seeds an arm, the first one is shown")
    return " · ".join(parts)


def _notes(arms: Sequence[Arm], gallery: Gallery) -> Iterator[str]:
    """Yield what is missing or cannot be compared."""
    for arm in arms:
        if arm.note and arm.rows:
            yield f"{arm.name}: {arm.note}; shown are {count(len(arm.rows))}"
        elif arm.note:
            yield f"{arm.name}: {arm.note}"
        elif not arm.rows:
            yield f"{arm.name} has no finished generation yet"

    groups = comparable(arms)
    if len(groups) > 1:
        parts = "; ".join(", ".join(arm.name for arm in group) for group in groups)
        yield f"Measured in different ways or at different sizes, so only compared within: {parts}"

    if len(gallery.inline) < max(len(arm.rows) for arm in arms):
        where = "are left out"
        if gallery.beside:
            where = "lie in the folder beside it"
        inline = _listed(gallery.inline)
        yield f"Pictures of generations {inline} are in this page; those of the others {where}."


def _listed(numbers: Sequence[int]) -> str:
    listed = ", ".join(map(str, numbers[:MOST_NUMBERS]))
    if len(numbers) > MOST_NUMBERS:
        return f"{listed} ... {numbers[-1]}"
    return listed
