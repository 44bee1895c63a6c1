"""What the page shows of each generation: images as one small sheet, texts, or the picture that the run drew."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load_file

from imglab.errors import InputError
from imglab.report.arms import Arm
from imglab.store.files import read_json
from imglab.store.layout import generation_folder, spread_generations

GAP = 1
"""Pixels between the images of a sheet."""
GREY = 128
WIDE_ALONE, WIDE_AMONG = 560, 400
"""Screen pixels that a sheet is to take: of one arm, and of one of several. Its own pixels take a whole number."""
INLINE = 14_000_000
"""Characters of pictures and texts that a page holds at most; beyond, generations are left to files beside it."""
UNREADABLE = (
    *(
        OSError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        MemoryError,
        RecursionError,
        SyntaxError,
    ),
    *(OverflowError, SafetensorError, Image.DecompressionBombError, InputError),
)


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


def sheet_png(images: np.ndarray, wide: int = WIDE_ALONE) -> tuple[bytes, dict[str, int]]:
    """Return uint8 images [N, C, H, W] as one PNG with a pixel between them, and where each lies.

    The layout: `columns`, `count`, `w` and `h` of an image, `gap`, all in the sheet's pixels, and `scale`, the whole
    number of screen pixels that one of them takes.
    """
    n, channels, height, width = images.shape
    columns = max(1, math.ceil(math.sqrt(n)))
    rows = max(1, -(-n // columns))
    used = 3 if channels >= 3 else 1
    size = (rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, used)
    sheet = np.full(size, GREY, dtype=np.uint8)
    for at, image in enumerate(images[:, :used]):
        top, left = at // columns * (height + GAP) + GAP, at % columns * (width + GAP) + GAP
        sheet[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    layout = {"columns": columns, "count": n, "w": width, "h": height, "gap": GAP}
    layout["scale"] = max(1, round(wide / size[1]))
    return png_bytes(sheet), {**layout, "width": size[1], "height": size[0]}


def png_bytes(pixels: np.ndarray) -> bytes:
    """Return uint8 [H, W, 1 or 3] as a PNG: the same pixels, the same bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(
        buffer, format="PNG", optimize=True
    )
    return buffer.getvalue()


def data_url(content: bytes, kind: str = "image/png") -> str:
    """Return bytes as a URL that holds them."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def collect(arms: Sequence[Arm], files_beside: str | None = None, limit: int = INLINE) -> Gallery:
    """Gather what a page shows of these arms.

    files_beside  folder, relative to the page, for what is too much for it; None: it is left out
    limit         characters that the page takes at most
    """
    gallery = Gallery()
    last = max(len(arm.rows) for arm in arms) - 1
    wide = WIDE_ALONE if len(arms) == 1 else WIDE_AMONG
    data = [_data_of(arm) for arm in arms]
    pool: dict[str, dict[int, Any]] = {name: {} for name in data}
    found = [
        [_of_generation(arm, g, wide, pool[name]) for g in range(len(arm.rows))]
        for arm, name in zip(arms, data, strict=True)
    ]
    sizes = [
        [dict(_sizes(name, shown)) for shown in each]
        for name, each in zip(data, found, strict=True)
    ]
    gallery.inline = _that_fit(sizes, last, limit)
    keeper = _Keeper(gallery, files_beside)
    for at, (arm, name, generations) in enumerate(zip(arms, data, found, strict=True)):
        gallery.arms.append(_entry(arm, at, name, generations, keeper))
    keeper.finish()
    return gallery


def _that_fit(sizes: Sequence[Sequence[Mapping[str, int]]], last: int, limit: int) -> list[int]:
    """Return the generations that fit into so many characters, what they share counted once; at least two."""
    most, fewest = last + 1, min(2, last + 1)
    chosen = list(range(last + 1))
    while most > fewest:
        parts = {
            name: size
            for each in sizes
            for g in chosen
            if g < len(each)
            for name, size in each[g].items()
        }
        wanted = sum(parts.values())
        if wanted <= limit:
            break
        most = max(fewest, min(most - 1, int(most * limit / wanted)))
        chosen = spread_generations(range(last + 1), most)
    return chosen


@dataclass
class _Shown:
    """What was read of a generation."""

    sheet: bytes | None = None
    layout: dict[str, int] | None = None
    words: list[dict[str, str]] | None = None
    index: np.ndarray | None = None
    distance: np.ndarray | None = None
    real: dict[int, Any] = field(default_factory=dict)
    real_words: dict[int, dict[str, str]] = field(default_factory=dict)
    text: str | None = None
    note: str = ""


def _of_generation(arm: Arm, g: int, wide: int, pool: dict[int, Any]) -> _Shown:
    """Read a generation; `pool` keeps the real samples of its data, each once for all generations."""
    folder = generation_folder(arm.folder, g)
    shown = _Shown()
    try:
        data = load_file(folder / "shown.safetensors")["data"]
        if data.dtype == np.uint8 and data.ndim == 4 and 0 not in data.shape:
            shown.sheet, shown.layout = sheet_png(data, wide)
    except UNREADABLE as error:
        shown.note = f"shown.safetensors cannot be read: {error}"
    if (folder / "exhibit.safetensors").exists():
        try:
            _read_exhibit(folder, shown, pool)
        except UNREADABLE as error:
            shown.note = f"exhibit.safetensors or exhibit.json cannot be read: {error}"
    if shown.sheet is None and not _texts(shown):
        _read_picture(folder, shown)
    return shown


def _read_exhibit(folder: Path, shown: _Shown, pool: dict[int, Any]) -> None:
    """Read what is nearest to each sample; nothing of it is kept where any of it is not what a run writes."""
    columns = load_file(folder / "exhibit.safetensors")
    index, distance, rows, real = (columns[name] for name in ("index", "distance", "rows", "real"))
    if not (
        index.ndim == 2
        and index.shape == distance.shape
        and rows.shape == real.shape[:1]
        and rows.ndim == 1
    ):
        raise ValueError("its columns do not belong together")
    if (
        index.dtype.kind not in "iu"
        or rows.dtype.kind not in "iu"
        or not np.isfinite(distance).all()
    ):
        raise ValueError("its columns are not of their kinds")
    path = folder / "exhibit.json"
    told = read_json(path, ()) if path.exists() else {}
    words, of_real = (_words(told, key) for key in ("shown", "real"))
    if of_real is not None and len(of_real) != len(rows):
        raise ValueError("exhibit.json tells of other samples")
    shown.index, shown.distance, shown.words = index, distance, words
    if real.dtype == np.uint8 and real.ndim == 4 and 0 not in real.shape:
        for row, image in zip(rows.tolist(), real, strict=True):
            if row not in pool:
                pool[row] = image.copy()  # a view would keep the whole file in memory
            shown.real[row] = pool[row]
    shown.real_words = dict(zip(rows.tolist(), of_real or (), strict=bool(of_real)))


def _words(told: Mapping[str, Any], key: str) -> list[dict[str, str]] | None:
    found = told.get(key)
    if not found:
        return None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ValueError(f"exhibit.json has no list of texts under {key!r}")
    if not all(isinstance(text, str) for each in found for text in each.values()):
        raise ValueError(f"exhibit.json has other things than texts under {key!r}")
    return found


def _read_picture(folder: Path, shown: _Shown) -> None:
    """Take the picture that the run drew of a kind of data that this page knows nothing about."""
    pictures, sheets = sorted(folder.glob("*.png")), sorted(folder.glob("*.txt"))
    try:
        if pictures:
            with Image.open(pictures[0]) as image:
                width, height = image.size
            shown.sheet = pictures[0].read_bytes()
            shown.layout = {"columns": 1, "count": 0, "scale": 1, "width": width, "height": height}
        elif sheets:
            shown.text = sheets[0].read_text(encoding="utf-8", errors="replace")
        else:
            shown.note = shown.note or "the run drew no picture"
    except UNREADABLE as error:
        shown.note = f"{(pictures or sheets)[0].name} cannot be read: {error}"


def _chosen_from(shown: _Shown) -> bool:
    """Say whether a person can choose single samples of it."""
    return _texts(shown) or bool(shown.layout and shown.layout["count"])


def _texts(shown: _Shown) -> bool:
    return bool(shown.words) and "text" in (shown.words or [{}])[0]


def _sizes(data: str, shown: _Shown) -> Iterator[tuple[str, int]]:
    """What a generation, of these real data, adds to a page: (what, characters); of the same content the same name."""
    if shown.sheet is not None:
        yield hashlib.sha256(shown.sheet).hexdigest(), len(shown.sheet) * 4 // 3
    if shown.words is not None:
        told = json.dumps(shown.words)
        yield hashlib.sha256(told.encode()).hexdigest(), len(told)
    if shown.text is not None:
        yield hashlib.sha256(shown.text.encode()).hexdigest(), len(shown.text)
    if shown.index is not None:
        yield hashlib.sha256(shown.index.tobytes()).hexdigest(), shown.index.size * 12
    for row, image in shown.real.items():
        yield f"real {data} {row}", image.nbytes * 4 // 3 + 12


class _Keeper:
    """Puts each sheet and each real sample into a gallery once."""

    def __init__(self, gallery: Gallery, beside: str | None) -> None:
        self.gallery, self._beside = gallery, beside
        self._known: dict[tuple[str, bool], int] = {}
        self._real: dict[str, dict[int, Any]] = {}
        self._words: dict[str, dict[int, dict[str, str]]] = {}

    def sheet(self, content: bytes, name: str, inline: bool) -> int | None:
        """Keep a sheet and return its number; None where it has no place."""
        key = (hashlib.sha256(content).hexdigest(), inline)
        if key not in self._known:
            if inline:
                url = data_url(content)
            elif self._beside is None:
                return None
            else:
                url = f"{self._beside}/{name}"
                self.gallery.beside[name] = content
            self._known[key] = len(self.gallery.sheets)
            self.gallery.sheets.append(url)
        return self._known[key]

    def real(self, data: str, shown: _Shown) -> None:
        """Keep the real samples nearest to those of a generation."""
        self._real.setdefault(data, {}).update(shown.real)
        self._words.setdefault(data, {}).update(shown.real_words)

    def finish(self) -> None:
        """Make a sheet of the real images of each set of data."""
        for data, images in self._real.items():
            entry: dict[str, Any] = {"words": self._words[data]}
            if images:
                rows = sorted(images)
                content, layout = sheet_png(np.stack([images[row] for row in rows]))
                entry |= {"sheet": self.sheet(content, "real.png", True), "layout": layout}
                entry["place"] = {row: at for at, row in enumerate(rows)}
            self.gallery.real[data] = entry


def _entry(
    arm: Arm, number: int, data: str, generations: Sequence[_Shown], keeper: _Keeper
) -> dict[str, Any]:
    first = next((shown for shown in generations if _chosen_from(shown)), generations[0])
    entry: dict[str, Any] = {
        "name": arm.name,
        "data": data,
        "layout": first.layout,
        "generations": [],
    }
    entry["kind"] = (
        "images" if first.sheet else "texts" if _texts(first) else "text" if first.text else "none"
    )
    prompts = [found.get("prompt", "") for found in first.words or []]
    entry["prompts"] = prompts if any(prompts) else None
    for g, shown in enumerate(generations):
        inline = g in keeper.gallery.inline
        told: dict[str, Any] = {"note": shown.note}
        if shown.sheet is not None and shown.layout == first.layout:
            told["sheet"] = keeper.sheet(shown.sheet, f"{number}-{g:03d}.png", inline)
        if inline:
            keeper.real(data, shown)
            if shown.index is not None and shown.distance is not None:
                told["near"] = shown.index.tolist()
                told["far"] = [
                    [float(f"{value:.4g}") for value in row] for row in shown.distance.tolist()
                ]
            if shown.words is not None:
                told["words"] = [found.get("text", found.get("label", "")) for found in shown.words]
            told["text"] = shown.text
        elif told.get("sheet") is None:
            told["note"] = told["note"] or "not in this page; see the run's folder"
        entry["generations"].append(told)
    return entry


def _data_of(arm: Arm) -> str:
    try:
        return str(arm.environment()["data"]["train"])[:16]
    except UNREADABLE:
        return arm.name
