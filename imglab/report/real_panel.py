"""The real samples that stand beside generation 0 on a page, as a run keeps them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from imglab.report.nearest import is_images
from imglab.report.sheets import data_url, sheet_png
from imglab.report.shown import UNREADABLE
from imglab.store.layout import generation_folder

COLUMNS = "real.safetensors"
WORDS = "real.json"

TEXTS = 8
"""Real texts that a page shows."""


def real_panel(run: Path, wide: int) -> dict[str, Any] | None:
    """Return a panel of real samples: a sheet of images, or texts.

    wide  screen pixels that a sheet should take
    None where the run keeps none, or its files cannot be read: runs of earlier formats do not.
    """
    folder = generation_folder(run, 0)
    try:
        images = load_file(folder / COLUMNS)["data"]
        if is_images(images):
            content, layout = sheet_png(images, wide)
            width = layout["width"] * layout["scale"]
            height = layout["height"] * layout["scale"]
            return {**_panel("images"), "url": data_url(content), "width": width, "height": height}
        words = json.loads((folder / WORDS).read_text(encoding="utf-8"))
        return {**_panel("texts"), "texts": [str(each["text"]) for each in words[:TEXTS]]}
    except UNREADABLE:
        return None


def _panel(kind: str) -> dict[str, Any]:
    caption = "held-out real data, chosen at random"
    return {"role": "real", "kind": kind, "title": "real data", "caption": caption}
