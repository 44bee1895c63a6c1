"""A scaling study as a picture, errors over sizes with their laws, and as tables in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imglab.report.figures import PALETTE
from imglab.report.study_files import write_study
from imglab.safe_text import one_line
from imglab.solvable.plots import own_style
from imglab.studies.scaling.analysis import PLATEAU

NAME = "scaling"


def write_pictures(folder: Path, answer: Mapping[str, Any]) -> list[Path]:
    """Write scaling.md, .png and .svg; return those that a reader should open.

    answer  what scaling.json holds
    """
    draw = None
    if answer["laws"]:
        draw = partial(scaling_figure, answer)
    return write_study(folder, NAME, markdown(answer), draw)


@own_style()
def scaling_figure(answer: Mapping[str, Any]) -> Figure:
    """Return a figure of the errors over sizes on logarithmic scales, a colour for each kind.

    Bars are 95% intervals of the mean over seeds. The line is the power law, or the law that levels
    off where that is shown, then with its level dotted.
    """
    figure = Figure(figsize=(5.4, 3.8), layout="constrained")
    panel = figure.add_subplot()
    sizes = answer["sizes"]
    for number, (name, law) in enumerate(answer["laws"].items()):
        _draw(panel, sizes, name, law, PALETTE[number % len(PALETTE)])

    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xticks(sizes, [f"{size:g}" for size in sizes])
    panel.set_xticks([], minor=True)
    panel.set_xlabel(answer["key"], fontsize=8)
    panel.set_ylabel(answer["metric"], fontsize=8)
    panel.tick_params(labelsize=7)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(fontsize=7, frameon=False)
    return figure


def _draw(
    panel: Axes, sizes: Sequence[float], name: str, law: Mapping[str, Any], colour: str
) -> None:
    """Draw the errors of a kind of data and their law."""
    means = np.array([each["mean"] for each in law["errors"]])
    low = np.array([each["low"] for each in law["errors"]])
    high = np.array([each["high"] for each in law["errors"]])
    label = f"{name}: exponent {law['exponent']:.2f} [{law['low']:.2f}, {law['high']:.2f}]"
    panel.errorbar(
        sizes, means, [means - low, high - means], fmt="o", color=colour, markersize=4, label=label
    )

    at = np.geomspace(sizes[0], sizes[-1], 100)
    logs = np.log(means)
    middle = np.exp(np.log(sizes).mean())
    curve = np.exp(logs.mean()) * (at / middle) ** -law["exponent"]
    if law["verdict"] == PLATEAU:
        curve = _levelled(at, sizes, means, law)
        panel.axhline(law["level"], color=colour, linewidth=0.9, linestyle=":")
    panel.plot(at, curve, color=colour, linewidth=1.1)


def _levelled(at: Any, sizes: Sequence[float], means: Any, law: Mapping[str, Any]) -> Any:
    """Return the law that levels off, through the mean of what the errors are above its level."""
    above = means - law["level"]
    shape = np.array(sizes) ** -law["level_exponent"]
    factor = (above * shape).sum() / (shape * shape).sum()
    return law["level"] + factor * at ** -law["level_exponent"]


def markdown(answer: Mapping[str, Any]) -> str:
    """Return the whole answer as Markdown."""
    lines = [f"# {one_line(answer['name'])}: {answer['metric']} over {answer['key']}", ""]
    titles = ["kind of data", "generation", "exponent", "95% interval", "verdict", "level"]
    titles += ["gain", "p", "p corrected"]
    lines += [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for name, law in answer["laws"].items():
        cells = [one_line(name), str(answer["generations"][name]), f"{law['exponent']:.3f}"]
        cells += [f"{law['low']:.3f} to {law['high']:.3f}", law["verdict"], f"{law['level']:.3g}"]
        cells += [f"{law['gain']:.1f}", f"{law['p']:.2g}", f"{law['p_holm']:.2g}"]
        lines.append(f"| {' | '.join(cells)} |")

    if answer["differences"]:
        lines += ["", "| exponent of | less that of | difference | 95% interval | p corrected |"]
        lines.append("|---|---|---|---|---|")
    for name, each in answer["differences"].items():
        cells = [one_line(name), one_line(each["against"]), f"{each['estimate']:+.3f}"]
        cells += [f"{each['low']:+.3f} to {each['high']:+.3f}", f"{each['p_holm']:.2g}"]
        lines.append(f"| {' | '.join(cells)} |")

    lines += ["", "## Errors, geometric means over seeds with 95% intervals", ""]
    lines += _table_of_errors(answer)
    if answer["left_out"]:
        lines += ["", "## Left out", ""]
        lines += [f"- {name}: {one_line(why)}" for name, why in answer["left_out"].items()]
    lines += ["", "## Method", "", answer["method"]]
    return "\n".join(lines) + "\n"


def _table_of_errors(answer: Mapping[str, Any]) -> list[str]:
    """Return the rows of the table of errors, one for each size."""
    names = list(answer["laws"])
    rows = [f"| {' | '.join([answer['key'], *map(one_line, names)])} |"]
    rows.append("|---" * (len(names) + 1) + "|")
    for number, size in enumerate(answer["sizes"]):
        cells = [f"{size:g}"]
        for name in names:
            each = answer["laws"][name]["errors"][number]
            cells.append(f"{each['mean']:.3g} [{each['low']:.3g}, {each['high']:.3g}]")
        rows.append(f"| {' | '.join(cells)} |")
    return rows
