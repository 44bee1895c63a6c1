"""Read what one generation shows: images, texts, or the picture that the run drew of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load_file

from imglab.errors import InputError
from imglab.report import nearest
from imglab.report.nearest import Nearest, is_images
from imglab.report.sheets import sheet_png

UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    MemoryError,
    RecursionError,
    SyntaxError,
    OverflowError,
    SafetensorError,
    Image.DecompressionBombError,
    InputError,
)
"""What safetensors, JSON and Pillow raise on a damaged file, which a stranger may have sent."""


@dataclass
class Shown:
    """What was read of a generation; None, empty or 0 for what it does not have.

    sheet    an encoded picture: the shown images on one sheet, or what the run drew
    layout   where the images of the sheet lie (`sheet_png`); `count` is 0 for another picture
    nearest  the real samples beside the shown ones, and what can be read of both
    text     a text sheet that the run wrote of a kind of data without pictures
    note     why something is missing
    """

    sheet: bytes | None = None
    layout: dict[str, int] | None = None
    nearest: Nearest = field(default_factory=Nearest)
    text: str | None = None
    note: str = ""

    @property
    def has_texts(self) -> bool:
        """Say whether its samples are texts."""
        words = self.nearest.words or [{}]
        return "text" in words[0]

    @property
    def has_cells(self) -> bool:
        """Say whether a reader can choose single samples of it."""
        return self.has_texts or bool(self.layout and self.layout["count"])

    @property
    def kind(self) -> str:
        """How the page shows it: `images`, `texts`, `text` (one text sheet) or `none`."""
        if self.sheet:
            return "images"
        if self.has_texts:
            return "texts"
        if self.text:
            return "text"
        return "none"


def read_shown(folder: Path, wide: int, pool: dict[int, np.ndarray]) -> Shown:
    """Read what the generation in `folder` shows; a file that cannot be read leaves a note.

    wide  screen pixels that a sheet of images should take
    pool  real images by row, held once for all generations on the same data
    """
    shown = Shown()
    try:
        images = load_file(folder / "shown.safetensors")["data"]
        if is_images(images):
            shown.sheet, shown.layout = sheet_png(images, wide)
    except UNREADABLE as error:
        shown.note = f"shown.safetensors cannot be read: {error}"

    if (folder / nearest.COLUMNS).exists():
        try:
            shown.nearest = nearest.read_nearest(folder, pool)
        except UNREADABLE as error:
            shown.note = f"exhibit.safetensors or exhibit.json cannot be read: {error}"

    if shown.sheet is None and not shown.has_texts:
        _read_drawn(folder, shown)
    return shown


def _read_drawn(folder: Path, shown: Shown) -> None:
    """Take what the run drew of a kind of data that the page knows nothing about."""
    pictures = sorted(folder.glob("*.png"))
    text_sheets = sorted(folder.glob("*.txt"))
    if not pictures and not text_sheets:
        shown.note = shown.note or "no picture was drawn of it (`pictures: each` draws them all)"
        return

    first = [*pictures, *text_sheets][0]
    try:
        if pictures:
            layout = _layout_of_one(first)
            shown.sheet = first.read_bytes()
            shown.layout = layout
        else:
            shown.text = first.read_text(encoding="utf-8", errors="replace")
    except UNREADABLE as error:
        shown.note = f"{first.name} cannot be read: {error}"


def _layout_of_one(picture: Path) -> dict[str, int]:
    """Return the layout of a picture that is not made of images which a reader can choose."""
    with Image.open(picture) as image:
        width, height = image.size
    return {"columns": 1, "count": 0, "scale": 1, "width": width, "height": height}
