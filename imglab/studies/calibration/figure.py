"""The picture of a calibration: a heat map of metric by damage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imglab.solvable.plots import own_style
from imglab.studies.calibration.table import cell

COLUMN = 0.62
ROW = 0.2
"""Inches of a cell."""
LEFT = 2.0
TOP = 1.3


@own_style()
def calibration_figure(result: Mapping[str, Any]) -> Figure:
    """Return a figure with a panel for each source of scores: the data, and every extractor.

    result  what calibration.json holds

    Red rises and blue falls, the darker the weaker the damage from which on it does; the number is
    the reaction at strength 1 in standard deviations of the floor. White stays within the floor.
    """
    heights = [len(scores["reactions"]) for scores in result["scores"]]
    width = LEFT + COLUMN * len(result["damages"])
    height = ROW * sum(heights) + TOP * len(heights)
    figure = Figure(figsize=(width, height), layout="constrained")

    panels = figure.subplots(len(heights), squeeze=False, height_ratios=[n + 4 for n in heights])
    for panel, scores in zip(panels[:, 0], result["scores"], strict=True):
        _draw(panel, scores, result)
    return figure


def _draw(panel: Axes, scores: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    damages = list(result["damages"])
    metrics = list(scores["reactions"])
    shades = [
        [_shade(scores["reactions"][metric][name], result["strengths"]) for name in damages]
        for metric in metrics
    ]
    panel.imshow(shades, cmap="RdBu_r", vmin=-1.4, vmax=1.4, aspect="auto")

    for row, metric in enumerate(metrics):
        for column, name in enumerate(damages):
            text = cell(scores["reactions"][metric][name]).partition(" ")[0]
            colour = "white" if abs(shades[row][column]) > 0.8 else "black"
            panel.text(column, row, text, ha="center", va="center", fontsize=6, color=colour)

    title = scores["source"].partition("@")[0]
    panel.set_title(f"{result['name']}: {title}", fontsize=9, parse_math=False)
    panel.set_xticks(range(len(damages)), damages, rotation=40, ha="right", fontsize=7)
    panel.set_yticks(range(len(metrics)), metrics, fontsize=7)
    panel.tick_params(length=0)


def _shade(reaction: Mapping[str, Any], strengths: list[float]) -> float:
    """Return -1 to 1: the direction, times how many of the strengths are seen."""
    if not reaction["direction"]:
        return 0.0
    seen = sum(strength >= reaction["first"] for strength in strengths)
    return float(reaction["direction"] * (0.3 + 0.7 * seen / len(strengths)))
