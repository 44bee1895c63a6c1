"""The table of a calibration: metric by damage, how strongly, in which direction, from where on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

RESULT = "calibration.json"
"""Name of the result in the directory of a calibration."""

NO_FEATURES = "without features"
"""Stands for the name of an extractor where samples are measured by their data alone."""

LEGEND = (
    "A cell holds the reaction at strength 1 in standard deviations of the floor, and in brackets "
    "the smallest strength from which on a metric stays outside the floor's 95% range. A dot means "
    "that it stays inside, or that the repeats differ too much to say; a question mark that it is "
    "undefined."
)

MOST = 999
"""Standard deviations beyond which a table only says that there are more."""

GAP = "  "


def cell(reaction: Mapping[str, Any]) -> str:
    """Write a reaction as `-12 (.25)`: the units at strength 1, and the first strength."""
    if reaction["direction"] is None:
        return "?"
    if not reaction["direction"]:
        return "."
    return f"{_units(reaction)} ({reaction['first']:g})".replace("(0.", "(.")


def rows(result: Mapping[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield (source, metric, cells), a cell for each damage, for the page or for other tables."""
    for scores in result["scores"]:
        for metric, reactions in scores["reactions"].items():
            yield scores["source"], metric, [cell(reactions[name]) for name in result["damages"]]


def calibration_table(result: Mapping[str, Any]) -> str:
    """Return a calibration as Markdown: a table for each source, the damages, how extractors agree.

    result  what calibration.json holds
    """
    sizes = result["sizes"]
    lines = [
        f"`{result['name']}`: {sizes['samples']} damaged samples against {sizes['reference']} "
        f"others, {sizes['splits']} splits behind each floor, mean of {sizes['repeats']} repeats.",
        "",
        LEGEND,
        "",
    ]
    for scores in result["scores"]:
        lines += [*_markdown(result, scores["source"]), ""]
        lines += [*_unseen_lines(result, scores), ""]
    lines += [f"- `{name}`: {_described(each)}" for name, each in result["damages"].items()]
    lines += ["", *_agreement_lines(result)]
    return "\n".join(lines).rstrip() + "\n"


def format_calibration(result: Mapping[str, Any], width: int = 120) -> str:
    """Return a calibration as plain text; damages beyond `width` characters follow below."""
    blocks = []
    for scores in result["scores"]:
        table = [("", [*result["damages"]])]
        table += [
            (metric, cells) for source, metric, cells in rows(result) if source == scores["source"]
        ]
        blocks.append("\n".join([scores["source"], *_columns(table, width)]))
    return "\n\n".join([*blocks, "\n".join([LEGEND, *_agreement_lines(result)])])


def _markdown(result: Mapping[str, Any], source: str) -> list[str]:
    names = list(result["damages"])
    lines = [
        f"| {source.partition('@')[0]} | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
    ]
    for of_source, metric, cells in rows(result):
        if of_source == source:
            lines.append(f"| `{metric}` | {' | '.join(cells)} |")
    return lines


def unseen(
    result: Mapping[str, Any], scores: Mapping[str, Any]
) -> dict[tuple[str, ...], list[str]]:
    """Return metrics by the damages that they do not see at any strength up to the greatest.

    Metrics that are undefined under a damage do not count as blind to it.
    """
    metrics: dict[tuple[str, ...], list[str]] = {}
    for metric, reactions in scores["reactions"].items():
        blind = tuple(name for name in result["damages"] if reactions[name]["direction"] == 0)
        metrics.setdefault(blind, []).append(metric)
    return metrics


def _unseen_lines(result: Mapping[str, Any], scores: Mapping[str, Any]) -> Iterator[str]:
    """Yield who does not see what, the sharpest metrics first."""
    yield f"What these do not see, or not surely ({scores['source'].partition('@')[0]}):"
    yield ""
    for blind, metrics in sorted(unseen(result, scores).items(), key=lambda each: len(each[0])):
        names = ", ".join(f"`{metric}`" for metric in metrics)
        damages = ", ".join(blind)
        if len(blind) == len(result["damages"]):
            damages = "any of them"
        yield f"- {names}: {damages or 'nothing here'}"


def _columns(table: Sequence[tuple[str, list[str]]], width: int) -> Iterator[str]:
    """Yield the lines of a table whose first row holds the titles, in blocks of a width."""
    first = max(len(title) for title, _ in table)
    widths = [max(map(len, column)) for column in zip(*(cells for _, cells in table), strict=True)]

    start = 0
    while start < len(widths):
        stop = start + 1
        while (
            stop < len(widths)
            and first + sum(widths[start : stop + 1]) + len(GAP) * (stop + 1 - start) <= width
        ):
            stop += 1

        for title, cells in table:
            padded = [f"{cells[at]:>{widths[at]}}" for at in range(start, stop)]
            yield GAP.join([f"{title:{first}}", *padded])
        start = stop


def _units(reaction: Mapping[str, Any]) -> str:
    units = reaction["units"][-1]
    if units is None:  # the floor has no spread
        return "+-"[reaction["direction"] < 0]
    if abs(units) > MOST:
        return f"{'+-'[units < 0]}{MOST}"
    if abs(units) >= 10:
        return f"{units:+.0f}"
    return f"{units:+.1f}"


def _described(damage: Mapping[str, Any]) -> str:
    if damage["impossible"]:
        return f"{damage['description']} (partly or wholly impossible here: {damage['impossible']})"
    return str(damage["description"])


def _agreement_lines(result: Mapping[str, Any]) -> Iterator[str]:
    for pair in result["agreement"]:
        names = " and ".join(name.partition("@")[0] for name in pair["extractors"])
        value = "undefined"
        if pair["spearman"] is not None:
            value = f"{pair['spearman']:.2f}"
        yield f"Spearman correlation of `fid` by {names} over {pair['pairs']} damages: {value}."
