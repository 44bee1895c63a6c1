"""The page of a comparison: both sets side by side, the closest pairs, the table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from imglab.errors import InputError, Problem
from imglab.report.assets import style, template
from imglab.report.score_text import CELLS, reading, table
from imglab.report.sheets import WIDE, data_url, sheet_png
from imglab.report.table import undefined_reasons
from imglab.running.resume import check_folder
from imglab.samples import Samples
from imglab.store import files
from imglab.store.files import read_json
from imglab.studies.score.score import Score
from imglab.version import __version__

SCORES = "scores.json"
PAGE = "report.html"
TEXTS = 8
"""Texts of each side that the page shows."""
PAIR_WIDE = 120
"""Screen pixels of a pair of images, about."""


def check_out(folder: Path, places: Sequence[str]) -> None:
    """Raise InputError unless `folder` is free, or holds scores of the same two sets."""
    check_folder(folder, SCORES, "does not hold scores")
    path = folder / SCORES
    if path.exists() and read_json(path, ()).get("places") != list(places):
        what = "holds the scores of two other sets"
        raise InputError(Problem(str(folder), what, "choose another --out"))


def write_score(score: Score, folder: Path) -> dict[str, Any]:
    """Write scores.json and report.html into a folder, and return what scores.json holds."""
    row = {**score.row, "reading": reading(score.row)}
    html = score_page(score, row)
    files.make_folder(folder)
    files.write_json(folder / SCORES, row)
    files.write_bytes(folder / PAGE, html.encode("utf-8", "backslashreplace"))
    return row


def score_page(score: Score, row: Mapping[str, Any]) -> str:
    """Return the page of a comparison."""
    shown = dict(row)
    return template("score.html.j2").render(
        version=__version__,
        css=style(),
        title=score.title,
        row=shown,
        sides=list(_sides(score)),
        pairs=list(_pairs(score)),
        headings=CELLS,
        table=table(row),
        reasons=undefined_reasons([row]),
        json=json.dumps(shown, indent=1, ensure_ascii=False),
    )


def _sides(score: Score) -> Iterator[dict[str, Any]]:
    """Yield a panel of each side: a grid of images, or texts."""
    sides = (
        ("real", "held-out real data", score.real.data, score.real.words),
        ("synthetic", "synthetic", score.shown.data, score.modality.read(score.shown)),
    )
    for role, title, data, words in sides:
        if _is_images(data):
            yield {"role": role, "title": title, "image": _sheet(data, WIDE)}
        elif words and "text" in words[0]:
            yield {"role": role, "title": title, "texts": [each["text"] for each in words[:TEXTS]]}


def _pairs(score: Score) -> Iterator[dict[str, Any]]:
    """Yield the closest pairs: a synthetic sample and the training sample nearest to it."""
    closest = score.closest
    texts = {
        "synthetic": _texts(score, closest.samples),
        "real": _texts(score, closest.real),
    }
    for number, pair in enumerate(closest.pairs):
        shown = {**pair, "distance": f"{pair['distance']:.3g}"}
        if _is_images(closest.samples.data):
            both = torch.stack([closest.samples.data[number], closest.real.data[number]])
            shown["image"] = _sheet(both, PAIR_WIDE)
        elif texts["real"]:
            shown["texts"] = [texts["synthetic"][number], texts["real"][number]]
        yield shown


def _texts(score: Score, samples: Samples) -> list[str]:
    words = score.modality.read(samples) or []
    return [each.get("text", "") for each in words]


def _is_images(data: Tensor) -> bool:
    return data.dtype == torch.uint8 and data.dim() == 4 and bool(len(data))


def _sheet(data: Tensor, wide: int) -> dict[str, Any]:
    """Return images as one picture, with its size on the screen."""
    content, layout = sheet_png(data.numpy(), wide)
    return {
        "url": data_url(content),
        "width": layout["width"] * layout["scale"],
        "height": layout["height"] * layout["scale"],
    }
