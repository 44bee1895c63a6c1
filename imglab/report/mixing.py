"""A search for the smallest real share that holds: a picture, and a page that answers first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imglab.report.assets import style, template
from imglab.report.figures import GREY, PALETTE, figure_files
from imglab.report.sheets import data_url
from imglab.report.table import metric_label
from imglab.solvable.plots import own_style
from imglab.store import files, hashes
from imglab.store.layout import count_finished, generation_folder
from imglab.studies.mixing.request import arm_name
from imglab.studies.mixing.run import METRICS
from imglab.studies.mixing.sentences import sentences
from imglab.studies.sweeps.config import run_folder
from imglab.version import __version__

NAME = "mixing"
PAGE = f"{NAME}.html"
PICTURE = f"{NAME}.png"
GRID = "grid.png"
MARKS: dict[bool | None, tuple[str, str, str]] = {
    True: ("o", PALETTE[2], "holds"),
    False: ("X", PALETTE[1], "does not hold"),
    None: ("D", GREY, "cannot be decided"),
}
WIDTH = 3.2
"""Inches of a panel."""


def write_mixing(folder: Path, result: Mapping[str, Any]) -> list[Path]:
    """Write mixing.html and the figure into the folder of a search; return what to open."""
    contents = figure_files(NAME, response_figure(result))
    with hashes.written(folder, PAGE, *contents, made_again=True):
        for file, content in contents.items():
            files.write_bytes(folder / file, content)
        page = mixing_page(folder, result, contents[PICTURE])
        files.write_bytes(folder / PAGE, page.encode("utf-8", "backslashreplace"))
    return [folder / PICTURE, folder / PAGE]


@own_style()
def response_figure(result: Mapping[str, Any]) -> Figure:
    """Return a figure with a panel for each metric: its value by real share, a mark for a chain.

    The grey band is the interval of the smallest share that holds, the dashed line the floor.
    """
    names = [name for name in METRICS if _values(result, name)]
    figure = Figure(figsize=(WIDTH * max(1, len(names)), 2.8), layout="constrained")
    panels = figure.subplots(1, max(1, len(names)), squeeze=False)[0]
    for panel, name in zip(panels, names, strict=False):
        _draw_panel(panel, result, name)
    if names:
        panels[0].legend(fontsize=6, loc="best")
    return figure


def _draw_panel(panel: Axes, result: Mapping[str, Any], name: str) -> None:
    answer = result["answer"]
    if answer is not None:
        panel.axvspan(answer["low"], answer["high"], color=GREY, alpha=0.4, linewidth=0)

    floors = [chain["floor"][name] for chain in result["chains"] if name in chain["floor"]]
    if floors:
        panel.axhline(floors[0], color="#555555", linewidth=0.8, linestyle="--")

    labelled = set()
    for share, value, holds in _values(result, name):
        mark, colour, label = MARKS[holds]
        shown = label if label not in labelled else None
        labelled.add(label)
        panel.plot([share], [value], mark, color=colour, markersize=4, label=shown)

    panel.set_title(metric_label(name, result["chains"][0]), fontsize=9, parse_math=False)
    panel.set_xlabel("real share of the training set", fontsize=7)
    panel.set_xlim(-0.05, 1.05)
    panel.tick_params(labelsize=7)
    panel.spines[["top", "right"]].set_visible(False)


def _values(result: Mapping[str, Any], name: str) -> list[tuple[float, float, bool | None]]:
    """Return (share, value, whether it holds) of each chain whose metric is defined."""
    return [
        (chain["share"], chain["metrics"][name], chain["holds"])
        for chain in result["chains"]
        if chain["metrics"].get(name) is not None
    ]


def mixing_page(folder: Path, result: Mapping[str, Any], picture: bytes) -> str:
    """Return the page of a search."""
    names = [name for name in METRICS if _values(result, name)]
    return template("mixing.html.j2").render(
        version=__version__,
        css=style(),
        title=f"How much real data does a mixture with {result['question']['label']} need?",
        sentences=sentences(result),
        data=result["data"],
        picture=data_url(picture),
        headings=[metric_label(name, result["chains"][0]) for name in names],
        rows=[_row(chain, names) for chain in result["chains"]],
        grids=list(_grids(folder, result["chains"])),
        json=json.dumps(result, indent=1, ensure_ascii=False),
    )


def _row(chain: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    values = [chain["metrics"].get(name) for name in names]
    return {
        "share": f"{chain['share']:g}",
        "seed": chain["seed"],
        "holds": MARKS[chain["holds"]][2],
        "values": ["" if value is None else f"{value:.3f}" for value in values],
        "reason": chain["reason"],
    }


def _grids(folder: Path, chains: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    """Yield what the last generation of each share drew with the first seed, where it is a picture.

    The largest share comes first: real data alone.
    """
    shares = sorted({chain["share"] for chain in chains if chain["seed"] == 0}, reverse=True)
    for share in shares:
        run = run_folder(folder, arm_name(share), 0)
        grid = generation_folder(run, count_finished(run) - 1) / GRID
        if grid.is_file():
            yield {"share": f"{share:g}", "url": data_url(grid.read_bytes())}
