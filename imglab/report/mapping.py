"""A map as a picture, the plane of two keys with the boundary between them, and as a page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imglab.errors import InputError, Problem
from imglab.report.assets import style, template
from imglab.report.figures import GREY, PALETTE, figure_files, figure_names
from imglab.report.sheets import data_url
from imglab.solvable.plots import own_style
from imglab.store import files, hashes
from imglab.studies.mapping.columns import BLOCKED, BOUNDARY, HOLDS
from imglab.studies.mapping.run import RESULT
from imglab.studies.mapping.sentences import (
    interval_text,
    key_text,
    levels_of,
    place_text,
    sentences,
)
from imglab.version import __version__

NAME = "map"
FILES = (f"{NAME}.html", *figure_names(NAME))
MARKS: dict[bool | None, tuple[str, str, str]] = {
    True: ("o", PALETTE[2], "holds"),
    False: ("X", PALETTE[1], "collapses"),
    None: ("D", "#777777", "cannot be decided"),
}
WIDTH = 4.4
"""Inches of a panel."""

Column = Mapping[str, Any]


def write_map(folder: Path, result: Mapping[str, Any]) -> list[Path]:
    """Write map.html and the figure into the folder of a map; return what to open."""
    contents = figure_files(NAME, map_figure(result))
    with hashes.written(folder, *FILES, made_again=True):
        for file, content in contents.items():
            files.write_bytes(folder / file, content)
        page = map_page(result, contents[f"{NAME}.png"])
        files.write_bytes(folder / f"{NAME}.html", page.encode("utf-8", "backslashreplace"))
    return [folder / f"{NAME}.html", folder / f"{NAME}.png"]


@own_style()
def map_figure(result: Mapping[str, Any]) -> Figure:
    """Return a figure with a panel for each value of the third key.

    Marks are chains, the line with its bars the boundary with its interval, the dotted line that of
    the closed form; what holds is green, what collapses red, and what is blocked grey.
    """
    levels = levels_of(result)
    figure = Figure(figsize=(WIDTH * len(levels), 3.6), layout="constrained")
    panels = figure.subplots(1, len(levels), squeeze=False, sharey=True)[0]
    for panel, (title, columns) in zip(panels, levels, strict=True):
        _draw_panel(panel, result, columns)
        panel.set_title(title, fontsize=9, parse_math=False)
    panels[0].set_ylabel(key_text(result["question"]["axes"][0]), fontsize=8)

    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=3 * len(levels),
        fontsize=7,
        frameon=False,
    )
    return figure


def _draw_panel(panel: Axes, result: Mapping[str, Any], columns: Sequence[Column]) -> None:
    axes = result["question"]["axes"]
    places = [_place(column) for column in columns]
    _scale(panel, axes, places)
    _draw_sides(panel, axes[0], places, columns)
    _draw_chains(panel, places, columns)

    # Bars reach to the edge of the range where an interval is open.
    for label, (place, column) in _first_labelled("boundary, 95% interval", places, columns):
        low, high = _ends(column, axes[0])
        value = column["estimate"]
        errors = [[abs(value - low)], [abs(high - value)]]
        panel.errorbar(
            [place], [value], errors, color="black", capsize=4, linewidth=1.6, label=label
        )
        panel.plot([place], [value], "_", color="black", markersize=14)

    exact = [(place, _exact(column)) for place, column in zip(places, columns, strict=True)]
    known_ones = [(place, number) for place, number in exact if number is not None]
    if known_ones:
        panel.plot(*zip(*known_ones, strict=True), ":.", color=PALETTE[0], label="closed form")
    panel.tick_params(labelsize=7)
    panel.spines[["top", "right"]].set_visible(False)


def _scale(panel: Axes, axes: Sequence[Mapping[str, Any]], places: Sequence[float]) -> None:
    """Give a panel the scales of the first two keys, with a tick at each column."""
    if axes[0]["log"]:
        panel.set_yscale("log")
    if len(axes) == 1:
        panel.set_xticks([])
        panel.set_xlim(-1, 1)
        return
    if axes[1]["log"]:
        panel.set_xscale("log")
    panel.set_xticks(places, [f"{place:g}" for place in places])
    panel.set_xticks([], minor=True)
    panel.set_xlabel(key_text(axes[1]), fontsize=8)


def _draw_sides(
    panel: Axes, axis: Mapping[str, Any], places: Sequence[float], columns: Sequence[Column]
) -> None:
    """Shade what holds and what collapses between columns; grey lines are blocked columns."""
    low = axis["low"]
    high = axis["high"]
    shaded = [
        (place, _height(column, axis))
        for place, column in zip(places, columns, strict=True)
        if _height(column, axis) is not None
    ]
    if len(shaded) > 1:
        at = [place for place, _ in shaded]
        heights: list[Any] = [height for _, height in shaded]
        panel.fill_between(at, heights, [high] * len(at), color=PALETTE[2], alpha=0.13, linewidth=0)
        panel.fill_between(at, [low] * len(at), heights, color=PALETTE[1], alpha=0.13, linewidth=0)

    for place, column in zip(places, columns, strict=True):
        if column["verdict"] == BLOCKED:
            panel.plot([place, place], [low, high], color=GREY, linewidth=8, alpha=0.5, zorder=0)


def _draw_chains(panel: Axes, places: Sequence[float], columns: Sequence[Column]) -> None:
    """Draw a mark for each chain, with one entry in the legend for each outcome."""
    labelled = set()
    for place, column in zip(places, columns, strict=True):
        for cell in column["cells"]:
            mark, colour, label = MARKS[cell["holds"]]
            shown = label
            if label in labelled:
                shown = "_"
            labelled.add(label)
            panel.plot(
                [place], [cell["number"]], mark, color=colour, markersize=4, alpha=0.7, label=shown
            )


def _first_labelled(
    label: str, places: Sequence[float], columns: Sequence[Column]
) -> Iterator[tuple[str, tuple[float, Column]]]:
    """Yield the columns that have a boundary, the first of them with the label for the legend."""
    for place, column in zip(places, columns, strict=True):
        if column["verdict"] == BOUNDARY:
            yield label, (place, column)
            label = "_"


def _place(column: Column) -> float:
    if not column["at"]:
        return 0.0
    return float(column["at"][0])


def _ends(column: Column, axis: Mapping[str, Any]) -> tuple[float, float]:
    """Return the interval of a boundary, to the ends of the range where it is open."""
    low = column["low"]
    high = column["high"]
    if low is None:
        low = axis["low"]
    if high is None:
        high = axis["high"]
    return low, high


def _height(column: Column, axis: Mapping[str, Any]) -> float | None:
    """Return where the boundary of a column is drawn; None where nothing is known."""
    if column["verdict"] == BOUNDARY:
        return float(column["estimate"])
    if column["verdict"] == HOLDS:
        return float(axis["low"])
    if column["verdict"] == "collapses":
        return float(axis["high"])
    return None


def _exact(column: Column) -> float | None:
    if column["exact"] is None or column["exact"]["position"] is None:
        return None
    return float(column["exact"]["number"])


def page_of(folder: Path) -> str:
    """Return the page of the map in a folder, from its files; InputError if they are damaged."""
    path = folder / RESULT
    result = files.read_signed(path, ("name", "question", "data", "columns"))
    try:
        return map_page(result, (folder / f"{NAME}.png").read_bytes())
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        what = "is not the file of a finished map"
        raise InputError(Problem(str(path), what, "run `imglab map` again")) from error


def map_page(result: Mapping[str, Any], picture: bytes) -> str:
    """Return the page of a map."""
    axes = result["question"]["axes"]
    return template("map.html.j2").render(
        version=__version__,
        css=style(),
        title=f"Where does {result['name']} hold, and where does it collapse?",
        sentences=sentences(result),
        data=result["data"],
        picture=data_url(picture),
        key=key_text(axes[0]),
        columns=[_column_row(result, column) for column in result["columns"]],
        cells=[row for column in result["columns"] for row in _cell_rows(result, column)],
        json=json.dumps(result, indent=1, ensure_ascii=False),
    )


def _column_row(result: Mapping[str, Any], column: Column) -> dict[str, str]:
    row = {"place": place_text(result, column), "verdict": column["verdict"], "exact": ""}
    row |= {"estimate": "", "interval": "", "reason": column["reason"]}
    if column["verdict"] == BOUNDARY:
        row["estimate"] = f"{column['estimate']:.3g}"
        row["interval"] = interval_text(column).removeprefix("95% interval ")
    exact = column["exact"]
    if exact is not None:
        row["exact"] = exact["verdict"]
    if _exact(column) is not None:
        row["exact"] = f"{_exact(column):.3g}"
    return row


def _cell_rows(result: Mapping[str, Any], column: Column) -> Iterator[dict[str, str]]:
    for cell in sorted(column["cells"], key=lambda each: (each["number"], each["seed"])):
        yield {
            "place": place_text(result, column),
            "number": f"{cell['number']:g}",
            "seed": str(cell["seed"]),
            "outcome": MARKS[cell["holds"]][2],
            "reason": cell["blocked"] or cell["reason"],
            "run": cell["run"],
        }
