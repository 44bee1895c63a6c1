"""The panels of a page: what each arm draws, beside the generation 0 that arms may share."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imglab.report.arms import Arm
from imglab.report.first_generation import trained_on
from imglab.report.gallery import Gallery
from imglab.report.real_panel import real_panel
from imglab.report.sheets import WIDE

NO_LAYOUT = {"width": 0, "height": 0, "scale": 1}


def panels(arms: Sequence[Arm], gallery: Gallery) -> dict[str, Any]:
    """Return the panels' part of the template's values; `gallery` has an entry for each arm."""
    kinds = {entry["kind"] for entry in gallery.arms if entry["kind"] != "images"}
    if any(map(_has_images, gallery.arms)):
        kinds.add("images")  # of one picture, such as a scatter plot, nothing can be chosen
    return {
        "has_images": any(map(_has_images, gallery.arms)),
        "how_shown": " ".join(_how_shown(kinds)),
        "families": list(_families(arms, gallery)),
    }


def _has_images(entry: Mapping[str, Any]) -> bool:
    return entry["kind"] == "images" and bool(entry["layout"]["count"])


def _how_shown(kinds: set[str]) -> Iterator[str]:
    """Yield sentences that say what a reader sees and can do."""
    if "images" in kinds:
        yield "Every place in a grid is the same latent in every generation."
    if "texts" in kinds:
        yield "Every text continues the same prompt in every generation."

    if kinds & {"images", "texts"}:
        yield (
            "Arrow keys move all of it; "
            "choose one to see its history and the real data nearest to it."
        )
    else:
        yield "Arrow keys move all of it."


def _families(arms: Sequence[Arm], gallery: Gallery) -> Iterator[list[dict[str, Any]]]:
    """Yield the panels of arms that share a generation 0: real data, that generation, each arm."""
    families: dict[str, list[int]] = {}
    for number, entry in enumerate(gallery.arms):
        first = entry["generations"][0]
        shared = json.dumps(first.get("sheet", first))
        families.setdefault(shared, []).append(number)

    for numbers in families.values():
        leader = numbers[0]
        of_arms = ""
        if len(families) > 1:
            of_arms = f" of {', '.join(arms[number].name for number in numbers)}"
        pinned = _pinned_panel(arms[leader], gallery.arms[leader], leader, of_arms)
        moving = [_moving_panel(arms[number], gallery.arms[number], number) for number in numbers]

        # Real data stand beside the generation that is to be as good as they are.
        real = real_panel(arms[leader].folder, WIDE)
        yield [panel for panel in (real, pinned, *moving) if panel is not None]


def _pinned_panel(arm: Arm, entry: Mapping[str, Any], number: int, of_arms: str) -> dict[str, Any]:
    """Return the panel of generation 0, which stays while the others move."""
    return {
        **_panel(entry, number),
        "role": "pinned",
        "title": f"generation 0{of_arms}, pinned",
        "label": f"{arm.name}, generation 0",
        "colour": None,
        "unfinished": "",
        "caption": entry["generations"][0]["note"] or f"trained on {trained_on([arm])}",
    }


def _moving_panel(arm: Arm, entry: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return the panel of an arm, which shows the generation of the slider."""
    unfinished = ""
    if not arm.finished:
        unfinished = f"{len(arm.rows)} of {arm.planned} generations so far"

    return {
        **_panel(entry, number),
        "role": "now",
        "title": arm.name,
        "label": f"{arm.name}, the generation of the slider",
        "colour": number,
        "unfinished": unfinished,
        "caption": "",
    }


def _panel(entry: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return what all panels of an arm have: its number, its kind and its size on the screen."""
    layout = entry["layout"] or NO_LAYOUT
    return {
        "arm": number,
        "kind": entry["kind"],
        "width": layout["width"] * layout["scale"],
        "height": layout["height"] * layout["scale"],
    }
