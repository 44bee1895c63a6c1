"""A small folder in the form of emoji-datasource-google, with drawings of one colour each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

SKINS = {
    "1F3FB": (247, 220, 190),
    "1F3FC": (220, 180, 140),
    "1F3FD": (190, 140, 100),
    "1F3FE": (150, 100, 60),
    "1F3FF": (90, 60, 40),
}


def write_emoji(folder: Path, *, people: int = 8, things: int = 4) -> Path:
    """Write people in five tones and without one, a couple in two tones and in one, and things."""
    (folder / "img/google/64").mkdir(parents=True)
    rows = [
        _row(folder, f"1f4{i:02x}", f"PERSON {i}", "People & Body", SKINS) for i in range(people)
    ]
    mixed = {"1F3FB-1F3FF": (120, 120, 120), "1F3FF-1F3FF": SKINS["1F3FF"]}
    rows.append(_row(folder, "1f9d1", "COUPLE", "People & Body", mixed))
    rows += [_row(folder, f"1f5{i:02x}", f"THING {i}", "Objects", {}) for i in range(things)]
    write_table(folder, rows)
    return folder


def write_table(folder: Path, rows: Any) -> None:
    (folder / "emoji.json").write_text(json.dumps(rows))


def _row(
    folder: Path, code: str, name: str, category: str, tones: dict[str, Any]
) -> dict[str, Any]:
    """Draw a disc on a transparent ground, in yellow and in each tone, and describe it."""
    variations = {}
    for tone, colour in {"": (255, 200, 0), **tones}.items():
        file = "-".join([code, *tone.lower().split("-")] if tone else [code]) + ".png"
        picture = Image.new("RGBA", (64, 64))
        ImageDraw.Draw(picture).ellipse((8, 8, 56, 8 + int(code[2:], 16) % 40 + 8), fill=colour)
        picture.save(folder / "img/google/64" / file)
        variations[tone] = {"image": file, "has_img_google": True}

    row = {"name": name, "category": category, **variations.pop("")}
    if variations:
        row["skin_variations"] = variations
    return row
