"""Gather everything that a page shows of samples, each picture once, within the size of a page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from imglab.report.arms import Arm
from imglab.report.nearest import Words
from imglab.report.sheets import WIDE, data_url, sheet_png
from imglab.report.shown import UNREADABLE, Shown, read_shown
from imglab.store.layout import generation_folder, spread_generations

INLINE = 14_000_000
"""Characters of pictures and texts that a page holds at most; other generations go beside it."""


@dataclass
class Gallery:
    """Everything that a page shows of samples, ready for its script.

    sheets  pictures, each once: data URLs, or names of files beside the page
    beside  files that go beside the page: name -> bytes
    arms    one entry for each arm
    real    for each set of real data, the samples that are nearest to any shown
    inline  generations that are in the page itself
    """

    sheets: list[str] = field(default_factory=list)
    beside: dict[str, bytes] = field(default_factory=dict)
    arms: list[dict[str, Any]] = field(default_factory=list)
    real: dict[str, dict[str, Any]] = field(default_factory=dict)
    inline: list[int] = field(default_factory=list)


def collect(arms: Sequence[Arm], files_beside: str | None = None, limit: int = INLINE) -> Gallery:
    """Return what a page shows of these arms.

    files_beside  folder, relative to the page, for what exceeds the limit; None: it is left out
    limit         characters that the page holds at most
    """
    data_sets = [_data_of(arm) for arm in arms]
    generations = _read_generations(arms, data_sets)

    sizes = [
        [dict(_sizes(data_set, shown)) for shown in of_arm]
        for data_set, of_arm in zip(data_sets, generations, strict=True)
    ]
    gallery = Gallery(inline=_inline_generations(sizes, limit))

    collector = _Collector(gallery, files_beside)
    for number, arm in enumerate(arms):
        entry = collector.entry(arm.name, number, data_sets[number], generations[number])
        gallery.arms.append(entry)
    collector.add_real()
    return gallery


def _data_of(arm: Arm) -> str:
    """Name the real data of an arm by their hash; arms on the same data share what is shown."""
    try:
        return str(arm.environment()["data"]["train"])[:16]
    except UNREADABLE:
        return arm.name


def _read_generations(arms: Sequence[Arm], data_sets: Sequence[str]) -> list[list[Shown]]:
    """Read every generation of every arm; real images are held once for each set of data."""
    pools: dict[str, dict[int, np.ndarray]] = {name: {} for name in data_sets}
    return [
        [
            read_shown(generation_folder(arm.folder, g), WIDE, pools[data_set])
            for g in range(len(arm.rows))
        ]
        for arm, data_set in zip(arms, data_sets, strict=True)
    ]


def _sizes(data_set: str, shown: Shown) -> Iterator[tuple[str, int]]:
    """Yield (name, characters) of each part that a generation adds to a page.

    The name is a hash of the content, so that the same content is counted once.
    """
    if shown.sheet is not None:
        yield _sha256(shown.sheet), len(shown.sheet) * 4 // 3  # base64

    nearest = shown.nearest
    if nearest.words is not None:
        encoded = json.dumps(nearest.words)
        yield _sha256(encoded.encode()), len(encoded)
    if shown.text is not None:
        yield _sha256(shown.text.encode()), len(shown.text)

    # About twelve characters stand for each neighbour: its row and its distance.
    if nearest.index is not None:
        yield _sha256(nearest.index.tobytes()), nearest.index.size * 12
    for row, image in nearest.real.items():
        yield f"real {data_set} {row}", image.nbytes * 4 // 3 + 12


def _inline_generations(sizes: Sequence[Sequence[Mapping[str, int]]], limit: int) -> list[int]:
    """Return the generations that the page itself holds: at least two, if there are as many.

    sizes  for each arm and generation, the characters of each of its parts by name
    """
    count = max(len(of_arm) for of_arm in sizes)
    chosen = list(range(count))
    most = count
    fewest = min(2, count)

    # The size falls about in proportion to the number of generations; a few rounds are enough.
    while most > fewest:
        size = _size_of(sizes, chosen)
        if size <= limit:
            break
        most = max(fewest, min(most - 1, int(most * limit / size)))
        chosen = spread_generations(range(count), most)
    return chosen


def _size_of(sizes: Sequence[Sequence[Mapping[str, int]]], generations: Sequence[int]) -> int:
    """Return the characters of these generations of all arms; shared parts are counted once."""
    parts: dict[str, int] = {}
    for of_arm in sizes:
        for g in generations:
            if g < len(of_arm):
                parts |= of_arm[g]
    return sum(parts.values())


class _Collector:
    """Puts each sheet and each real sample into a gallery once."""

    def __init__(self, gallery: Gallery, beside: str | None) -> None:
        self._gallery = gallery
        self._beside = beside
        self._numbers: dict[tuple[str, bool], int] = {}
        self._real: dict[str, dict[int, np.ndarray]] = {}
        self._real_words: dict[str, dict[int, Words]] = {}

    def entry(
        self, name: str, number: int, data_set: str, generations: Sequence[Shown]
    ) -> dict[str, Any]:
        """Return the entry of arm `number`; its first generation with samples gives the layout."""
        with_cells = (shown for shown in generations if shown.has_cells)
        first = next(with_cells, generations[0])

        described = []
        for g, shown in enumerate(generations):
            picture: dict[str, Any] = {}
            if shown.sheet is not None and shown.layout == first.layout:
                inline = g in self._gallery.inline
                picture["sheet"] = self._add_sheet(shown.sheet, f"{number}-{g:03d}.png", inline)

            if g in self._gallery.inline:
                self._real.setdefault(data_set, {}).update(shown.nearest.real)
                self._real_words.setdefault(data_set, {}).update(shown.nearest.real_words)
                described.append({"note": shown.note, **picture, **_words_and_nearest(shown)})
            else:
                note = shown.note
                if picture.get("sheet") is None:
                    note = note or "not in this page; see the run's folder"
                described.append({"note": note, **picture})

        return {
            "name": name,
            "data": data_set,
            "layout": first.layout,
            "generations": described,
            "kind": first.kind,
            "prompts": _prompts(first),
        }

    def add_real(self) -> None:
        """Add the real samples of each data set, images as one sheet: those near any shown one."""
        for data_set, images in self._real.items():
            entry: dict[str, Any] = {"words": self._real_words[data_set]}

            # The script finds the image of a row at its place on the sheet.
            if images:
                rows = sorted(images)
                content, layout = sheet_png(np.stack([images[row] for row in rows]))
                entry["sheet"] = self._add_sheet(content, "real.png", inline=True)
                entry["layout"] = layout
                entry["place"] = {row: at for at, row in enumerate(rows)}
            self._gallery.real[data_set] = entry

    def _add_sheet(self, content: bytes, name: str, inline: bool) -> int | None:
        """Add a sheet, inline or as the file `name`, and return its number; None: no room."""
        key = (_sha256(content), inline)
        if key in self._numbers:
            return self._numbers[key]

        if inline:
            url = data_url(content)
        elif self._beside is None:
            return None
        else:
            url = f"{self._beside}/{name}"
            self._gallery.beside[name] = content

        self._numbers[key] = len(self._gallery.sheets)
        self._gallery.sheets.append(url)
        return self._numbers[key]


def _words_and_nearest(shown: Shown) -> dict[str, Any]:
    """Return what the page's script needs of a generation besides its sheet."""
    nearest = shown.nearest
    described: dict[str, Any] = {}
    if nearest.index is not None and nearest.distance is not None:
        described["near"] = nearest.index.tolist()
        described["far"] = [
            [float(f"{value:.4g}") for value in row] for row in nearest.distance.tolist()
        ]

    if nearest.words is not None:
        described["words"] = [words.get("text", words.get("label", "")) for words in nearest.words]
    described["text"] = shown.text
    return described


def _prompts(shown: Shown) -> list[str] | None:
    prompts = [words.get("prompt", "") for words in shown.nearest.words or ()]
    if any(prompts):
        return prompts
    return None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
