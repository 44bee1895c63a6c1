"""A decomposition as a picture, the forest plot of its effects, and as tables in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from imglab.report.figures import GREY, PALETTE
from imglab.report.study_files import write_study
from imglab.safe_text import one_line
from imglab.solvable.plots import own_style

NAME = "decomposition"
COLOURS = {
    "statistical": PALETTE[0],
    "expressivity": PALETTE[1],
    "approximation": PALETTE[2],
    "interaction": PALETTE[6],
    "other": PALETTE[5],
}
"""Colour of an effect, by the error that its factor changes."""
WIDTH = 4.6
"""Inches of a panel."""
PANELS = 3
"""Most panels beside each other: a page is not wider."""

Effects = Sequence[Mapping[str, Any]]


def write_pictures(folder: Path, answer: Mapping[str, Any]) -> list[Path]:
    """Write decomposition.md, .png and .svg; return those that a reader should open.

    answer  what decomposition.json holds
    """
    draw = None
    if answer["outcomes"]:
        draw = partial(forest_figure, answer)
    return write_study(folder, NAME, markdown(answer), draw)


@own_style()
def forest_figure(answer: Mapping[str, Any]) -> Figure:
    """Return a figure with a panel for each outcome and a row for each effect.

    Thick lines are the intervals of single effects, thin ones hold for all effects of a panel.
    """
    outcomes = answer["outcomes"]
    longest = max(len(outcome["effects"]) for outcome in outcomes.values())
    rows = math.ceil(len(outcomes) / PANELS)
    columns = math.ceil(len(outcomes) / rows)
    size = (1.4 + WIDTH * columns, 0.6 + rows * (0.8 + 0.3 * longest))
    figure = Figure(figsize=size, layout="constrained")

    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).flat
    for (metric, outcome), panel in zip(outcomes.items(), panels, strict=False):
        _draw(panel, metric, outcome, answer["factors"])
    for empty in panels:
        empty.remove()

    shown = {_error(effect, answer["factors"]) for effect in _all_effects(outcomes)}
    names = [name for name in COLOURS if name in shown]
    handles = [Line2D([], [], color=COLOURS[name], marker="o", markersize=4) for name in names]
    figure.legend(
        handles, names, loc="outside lower center", ncols=len(names), fontsize=8, frameon=False
    )
    return figure


def markdown(answer: Mapping[str, Any]) -> str:
    """Return the whole answer as Markdown: a table of effects for each outcome."""
    lines = [f"# {one_line(answer['name'])}: errors by intervention, generation "]
    lines[0] += f"{answer['generation']}"
    for metric, outcome in answer["outcomes"].items():
        lines += ["", f"## {metric} ({outcome['scale']} scale)", ""]
        lines += _table(outcome["effects"])

    if answer["left_out"]:
        lines += ["", "## Left out", ""]
        lines += [f"- {name}: {one_line(why)}" for name, why in answer["left_out"].items()]
    if answer["aliases"]:
        lines += ["", "## What the fraction cannot tell apart", ""]
        for name, others in answer["aliases"].items():
            mixed = ", ".join(f"{value:+.2g} x ({other})" for other, value in others.items())
            lines.append(f"- {name} also contains {mixed}")

    levels = [
        f"- {name}: {', '.join(factor['levels'])} ({factor['key'] or 'several keys'}), "
        f"since generation {factor['since']}"
        for name, factor in answer["factors"].items()
    ]
    lines += ["", "## Factors, the reference level first", "", *levels]
    lines += ["", "## Method", "", answer["method"]]
    return "\n".join(lines) + "\n"


def _table(effects: Effects) -> list[str]:
    """Return the rows of the table of an outcome's effects."""
    rows = [
        "| effect | estimate | 95% interval | interval for all effects | adjusted p | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for effect in effects:
        cells = [
            one_line(effect["name"]),
            _number(effect["estimate"]),
            _interval(effect, ""),
            _interval(effect, "simultaneous_"),
            _number(effect["p_adjusted"]).removeprefix("+"),
            effect["verdict"],
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _draw(panel: Axes, metric: str, outcome: Mapping[str, Any], factors: Mapping[str, Any]) -> None:
    """Draw an outcome's effects, the first on top."""
    panel.axvline(0, color=GREY, linewidth=0.9)
    effects = outcome["effects"]
    for row, effect in enumerate(effects):
        if effect["estimate"] is None:
            continue

        colour = COLOURS[_error(effect, factors)]
        for prefix, width in (("simultaneous_", 0.8), ("", 2.6)):
            ends = [effect[f"{prefix}low"], effect[f"{prefix}high"]]
            if None not in ends:
                panel.plot(ends, [row, row], color=colour, linewidth=width)
        panel.plot([effect["estimate"]], [row], color=colour, marker="o", markersize=5)

    names = [one_line(effect["name"]) for effect in effects]
    panel.set_yticks(range(len(names)), names, fontsize=8, parse_math=False)
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.set_title(metric, fontsize=9, parse_math=False)

    label = "change against the reference"
    if outcome["scale"] == "log":
        label = "change of the logarithm"
    panel.set_xlabel(label, fontsize=8)
    panel.tick_params(axis="x", labelsize=7)
    panel.spines[["top", "right"]].set_visible(False)


def _error(effect: Mapping[str, Any], factors: Mapping[str, Any]) -> str:
    """Return which error an effect belongs to: `interaction` for two factors."""
    if len(effect["factors"]) > 1:
        return "interaction"
    return factors[effect["factors"][0]]["error"] or "other"


def _all_effects(outcomes: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for outcome in outcomes.values():
        yield from outcome["effects"]


def _interval(effect: Mapping[str, Any], prefix: str) -> str:
    ends = [effect[f"{prefix}low"], effect[f"{prefix}high"]]
    if None in ends:
        return ""
    return " to ".join(f"{end:+.3g}" for end in ends)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:+.3g}"
