"""The panel of a page: one held-out opening, continued by generations of the arms that share it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from imglab.report.arms import Arm
from imglab.report.shown import UNREADABLE
from imglab.store.files import read_json
from imglab.store.layout import generation_folder, panel_generations
from imglab.text.repeats import DOCUMENT_END, repeated_words

FILE = "panel.json"
TEXTS = ("opening", "real", "text")

Parts = list[tuple[str, bool]]
"""A text in parts, and of each part whether it repeats what the text said before."""


def continued(arms: Sequence[Arm]) -> dict[str, Any]:
    """Return the part of the template's values for texts that generations continued.

    Arms with the same opening stand beside each other. Runs of other kinds of data, those that
    began before there was a panel, and files that cannot be read leave nothing.
    """
    groups: dict[tuple[str, str], tuple[dict[str, Any], list[tuple[int, Arm]]]] = {}
    for number, arm in enumerate(arms):
        first = read_panel(arm.folder, 0)
        if first is not None:
            shared = (first["opening"], first["real"])
            _, members = groups.setdefault(shared, (first, []))
            members.append((number, arm))
    return {"continued": [_table(first, members) for first, members in groups.values()]}


def read_panel(run: Path, g: int) -> dict[str, Any] | None:
    """Return how generation g of a run continued the opening; None: it did not, or is damaged."""
    try:
        panel = read_json(generation_folder(run, g) / FILE, (*TEXTS, "among", "perplexity"))
    except UNREADABLE:
        return None
    if all(isinstance(panel[key], str) for key in TEXTS):
        return panel
    return None


def _table(first: dict[str, Any], members: Sequence[tuple[int, Arm]]) -> dict[str, Any]:
    """Return the table of arms that share an opening: a column for each, a row a generation.

    first  what generation 0 of the first arm made of it
    """
    longest = max(len(arm.rows) for _, arm in members)
    return {
        "opening": first["opening"],
        "real": first["real"],
        "why": _rule(first),
        "arms": [(arm.name, number) for number, arm in members],
        "rows": [(g, [_cell(arm, g) for _, arm in members]) for g in panel_generations(longest)],
    }


def _rule(first: dict[str, Any]) -> str:
    """Say by which rule the opening was chosen."""
    perplexity = ""
    if isinstance(first["perplexity"], float):
        perplexity = f" ({first['perplexity']:.3g})"
    return (
        f"Chosen by a rule: of {first['among']} openings of held-out text the one of median "
        f"perplexity under generation 0{perplexity}. All generations continue it with the same "
        "random numbers. Marked: words that the same text had before. "
        f"{DOCUMENT_END} ends a document."
    )


def _cell(arm: Arm, g: int) -> Parts | None:
    """Return what a generation of an arm wrote, in parts; None: it wrote nothing."""
    if g >= len(arm.rows):
        return None
    panel = read_panel(arm.folder, g)
    if panel is None:
        return None
    return list(marked(panel["text"]))


def marked(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the parts of a text, and of each whether its words repeat what stood before."""
    words = text.split()
    pairs = zip(words, repeated_words(words), strict=True)
    for is_repeated, group in groupby(pairs, key=lambda pair: pair[1]):
        yield " ".join(word for word, _ in group), is_repeated
