"""The pictures of all generations of a run in one: a strip of them, and an animation."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from imglab.errors import InputError, Problem, first_line
from imglab.report.shown import UNREADABLE
from imglab.report.video import video
from imglab.store.files import DAMAGED
from imglab.store.layout import generation_folder, spread_generations

STRIP_MOST = 12
"""Generations of the strip at most."""
LABEL_HEIGHT = 24
"""Pixels above each picture of the strip, for its label."""
STRIP_GAP = 8
"""Pixels between the pictures of the strip."""
FRAMES = 60
"""Generations of the animation at most."""
FRAME_SECONDS = 0.7


def strip_and_animation(run: Path, generations: Sequence[int]) -> dict[str, bytes]:
    """Return strip.png, grid.webp and grid.gif of generations of a run; {} if none drew a picture.

    Where ffmpeg is installed, there is grid.mp4, too.

    InputError says that a picture cannot be read.
    """
    drawn = {g: _picture(run, g) for g in generations}
    pictures = {g: path for g, path in drawn.items() if path is not None}
    if not pictures:
        return {}

    try:
        shown = spread_generations(sorted(pictures), FRAMES)
        frames = [_opened(pictures[g]) for g in shown]
        results = {
            "strip.png": strip_png(pictures),
            "grid.webp": _animation(frames, "WEBP", lossless=True),
            "grid.gif": _animation(frames, "GIF"),
        }
    except UNREADABLE as error:
        what = f"a picture of a generation cannot be read: {first_line(error)}"
        raise InputError(Problem(str(run), what, DAMAGED)) from error

    film = video(frames, FRAME_SECONDS)
    if film is not None:
        results["grid.mp4"] = film
    return results


def strip_png(pictures: Mapping[int, Path]) -> bytes:
    """Return a PNG of generations' pictures side by side, each under its number.

    At most twelve generations are in it, spread evenly on a log scale.
    """
    chosen = spread_generations(sorted(pictures), STRIP_MOST)
    opened = [_opened(pictures[g]) for g in chosen]
    columns = math.ceil(math.sqrt(len(opened)))
    rows = math.ceil(len(opened) / columns)

    width = opened[0].width + STRIP_GAP
    height = opened[0].height + STRIP_GAP + LABEL_HEIGHT
    strip = Image.new("RGB", (columns * width - STRIP_GAP, rows * height - STRIP_GAP), "white")
    pen = ImageDraw.Draw(strip)
    font = ImageFont.load_default(16)

    for at, (g, picture) in enumerate(zip(chosen, opened, strict=True)):
        row, column = divmod(at, columns)
        left = column * width
        top = row * height
        pen.text((left + 4, top + 2), f"generation {g}", fill="black", font=font)
        strip.paste(picture, (left, top + LABEL_HEIGHT))

    buffer = io.BytesIO()
    strip.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _animation(frames: Sequence[Image.Image], kind: str, **settings: bool) -> bytes:
    """Return an animation of a kind that repeats; the last picture stays a little longer."""
    durations = [int(1000 * FRAME_SECONDS)] * len(frames)
    durations[-1] *= 3

    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        format=kind,
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=0,
        **settings,
    )
    return buffer.getvalue()


def _opened(picture: Path) -> Image.Image:
    with Image.open(picture) as file:
        return file.convert("RGB")


def _picture(run: Path, g: int) -> Path | None:
    """Return the first picture in the folder of generation g, if there is one."""
    return min(generation_folder(run, g).glob("*.png"), default=None)
