"""The files that show what a study answered: tables in Markdown, and a figure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from imglab.report.figures import figure_files, figure_names
from imglab.store import files, hashes


def write_study(
    folder: Path, name: str, tables: str, draw: Callable[[], Figure] | None
) -> list[Path]:
    """Write folder/name.md, .png, .svg and .pdf; return those that a reader should open.

    draw  returns the figure; None: there is nothing to draw
    """
    with hashes.written(folder, f"{name}.md", *figure_names(name), made_again=True):
        files.write_bytes(folder / f"{name}.md", tables.encode())
        if draw is None:
            return [folder / f"{name}.md"]

        for file, content in figure_files(name, draw()).items():
            files.write_bytes(folder / file, content)
    return [folder / f"{name}.md", folder / f"{name}.png"]
