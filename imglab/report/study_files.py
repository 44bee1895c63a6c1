"""The files that show what a study answered: tables in Markdown, and a figure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from imglab.report.figures import png, svg
from imglab.store import files, hashes


def write_study(
    folder: Path, name: str, tables: str, draw: Callable[[], Figure] | None
) -> list[Path]:
    """Write folder/name.md, .png and .svg; return those that a reader should open.

    draw  returns the figure; None: there is nothing to draw
    """
    with hashes.written(
        folder, *(f"{name}.{kind}" for kind in ("md", "png", "svg")), made_again=True
    ):
        files.write_bytes(folder / f"{name}.md", tables.encode())
        if draw is None:
            return [folder / f"{name}.md"]

        figure = draw()
        files.write_bytes(folder / f"{name}.png", png(figure))
        files.write_bytes(folder / f"{name}.svg", svg(figure))
    return [folder / f"{name}.md", folder / f"{name}.png"]
