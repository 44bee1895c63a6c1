"""The ranking of a sweep of remedies: as text, as a table of its page, and as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imglab.report.figures import GREY, PALETTE
from imglab.safe_text import one_line
from imglab.solvable.plots import own_style

WIDTH = 2.2
"""Inches of a panel."""
WIDE = 30
"""Ratio of the largest to the smallest distance from which on their scale is logarithmic."""

UNITS = {"cpu_seconds": "CPU-seconds", "gpu_seconds": "GPU-seconds", "samples_seen": "samples seen"}

Ranking = Mapping[str, Any]


def format_ranking(ranking: Ranking) -> str:
    """Return a ranking as text: a line for each arm, the best one first."""
    if not ranking["arms"]:
        return f"no ranking: {one_line(ranking['reason'])}"

    rows = [ranking_columns(ranking), *ranking_rows(ranking)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [f"ranking of the arms in generation {ranking['generation']}, {excess_text(ranking)}:"]
    for row in rows:
        cells = [f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def excess_text(ranking: Ranking) -> str:
    """Say what the arms are ranked by."""
    reference = "its floor"
    if ranking["metrics"]["reference"] != "floor":
        reference = "that of real data alone"
    text = f"by {one_line(ranking['metric'])} above {reference}"
    if ranking.get("better") == "more":
        text += ", the largest first"
    return text


def ranking_columns(ranking: Ranking) -> tuple[str, ...]:
    """Return the titles of the columns of a ranking."""
    return ("ranks", "arm", "excess", *_measures(ranking), *_costs(ranking), "beside")


def ranking_rows(ranking: Ranking) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each arm."""
    for arm in ranking["arms"]:
        best, worst = arm["ranks"]
        ranks = str(best)
        if worst > best:
            ranks = f"{best}-{worst}"

        measures = [interval_text(arm[key]) for key in _measures(ranking)]
        costs = [_cost_text(arm["cost"][key]) for key in UNITS if UNITS[key] in _costs(ranking)]
        contrasts = "; ".join(_contrast_text(contrast) for contrast in arm["contrasts"])
        excess = interval_text(arm["excess"])
        defined = arm.get("excess_seeds", arm["seeds"])
        if defined < arm["seeds"]:
            excess += f" ({defined} of {arm['seeds']} seeds)"
        yield (ranks, one_line(arm["arm"]), excess, *measures, *costs, contrasts)


def interval_text(interval: Mapping[str, float | None] | None) -> str:
    """Write a mean with its interval."""
    if interval is None or interval["mean"] is None:
        return "-"
    text = f"{interval['mean']:.3g}"
    if interval["low"] is None or interval["high"] is None:
        return text
    return f"{text} [{interval['low']:.3g}, {interval['high']:.3g}]"


def _measures(ranking: Ranking) -> list[str]:
    """Return which of the measures beside the distance any arm has."""
    return [key for key in ("tail_recall", "precision") if ranking["metrics"][key] is not None]


def _costs(ranking: Ranking) -> list[str]:
    """Return which costs any arm has."""
    return [
        unit
        for key, unit in UNITS.items()
        if any(arm["cost"][key] is not None for arm in ranking["arms"])
    ]


def _cost_text(interval: Mapping[str, float | None] | None) -> str:
    """Write a cost with its interval; one that is the same with all seeds by itself."""
    if interval is None or interval["mean"] is None or interval["low"] != interval["high"]:
        return interval_text(interval)
    return f"{interval['mean']:,.4g}"


def _contrast_text(contrast: Mapping[str, Any]) -> str:
    """Say how an arm compares with the one that it must beat."""
    against = one_line(contrast["against"])
    if contrast["estimate"] is None:
        return f"{contrast['verdict']} ({against})"

    text = f"{contrast['estimate']:+.3g} against {against}"
    if contrast["scale"] == "ratio":
        text = f"{contrast['estimate']:.3g} x {against}"
    if contrast["p_holm"] is None:
        return text
    return f"{text}, p {contrast['p_holm']:.2g}"


@own_style()
def ranking_figure(ranking: Ranking) -> Figure:
    """Return a figure with a row for each arm, the best on top, and a panel for each number.

    Points are means over seeds, bars 95% intervals; beside its name stands the interval of an arm's
    rank.
    """
    arms = ranking["arms"]
    panels = [
        ("excess", f"excess {ranking['metric']}"),
        *((key, key) for key in _measures(ranking)),
    ]
    costs = [key for key in UNITS if UNITS[key] in _costs(ranking)]
    height = 1.1 + 0.26 * len(arms)
    columns = len(panels) + len(costs)
    figure = Figure(figsize=(1.4 + WIDTH * columns, height), layout="constrained")

    axes = figure.subplots(1, columns, sharey=True, squeeze=False)[0]
    for panel, (key, title) in zip(axes, panels, strict=False):
        _draw(panel, [arm[key] for arm in arms], title.replace("_", " "))
    for panel, key in zip(axes[len(panels) :], costs, strict=True):
        _draw(panel, [arm["cost"][key] for arm in arms], UNITS[key])
        panel.set_xlim(left=0)

    names = [f"{one_line(arm['arm'])}  {_ranks(arm)}" for arm in arms]
    axes[0].set_yticks(range(len(arms)), names, fontsize=8, parse_math=False)
    axes[0].set_ylim(len(arms) - 0.5, -0.5)
    _stretch(axes[0], arms)
    return figure


def _stretch(panel: Axes, arms: Sequence[Mapping[str, Any]]) -> None:
    """Give distances of several orders of magnitude a logarithmic scale, linear about 0."""
    means = [arm["excess"]["mean"] for arm in arms if arm["excess"]["mean"] is not None]
    positive = [mean for mean in means if mean > 0]
    if positive and max(positive) > WIDE * min(positive):
        panel.set_xscale("symlog", linthresh=min(positive))


def _ranks(arm: Mapping[str, Any]) -> str:
    best, worst = arm["ranks"]
    return f"[{best}, {worst}]"


def _draw(panel: Axes, intervals: Sequence[Mapping[str, float | None] | None], title: str) -> None:
    """Draw a number of each arm, from top to bottom."""
    for row, interval in enumerate(intervals):
        panel.axhline(row, color=GREY, linewidth=0.4, zorder=0)
        if interval is None or interval["mean"] is None:
            continue
        if interval["low"] is not None and interval["high"] is not None:
            ends = [interval["low"], interval["high"]]
            panel.plot(ends, [row, row], color=PALETTE[0], linewidth=1.8)
        panel.plot([interval["mean"]], [row], "o", color=PALETTE[0], markersize=4)

    panel.set_title(title, fontsize=9, parse_math=False)
    panel.tick_params(axis="x", labelsize=7)
    panel.spines[["top", "right"]].set_visible(False)
