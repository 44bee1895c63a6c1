"""The charts of a page: metrics, training data, survivors, and histograms of single samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from imglab.errors import InputError
from imglab.report.arms import Arm, comparable
from imglab.report.explanations import explanation
from imglab.report.per_sample import histogram, read_per_sample
from imglab.report.survival import (
    CHANCE,
    MOST_LINES,
    SURVIVALS,
    counted_by,
    extinction_times,
    part_of,
    survival_tables,
)
from imglab.report.svg import SHAPES, Line, line_chart, stacked_chart
from imglab.report.svg_frame import Point
from imglab.report.svg_histogram import histogram_chart
from imglab.report.table import metric_label
from imglab.store.reading import metric_names

FEW = 8
"""Charts of a group that are open at first; a reader unfolds the others."""
LAYERS = 12
"""Generations with a layer of their own in a training set; older ones share one."""

EARLIER = "earlier"
"""What is not real in rows of old runs, which do not say where it comes from."""


def charts(arms: Sequence[Arm], last: int) -> dict[str, Any]:
    """Return the charts' part of the template's values, over generations 0 to `last`."""
    return {
        "shapes": SHAPES,
        "sweep": any(arm.bands for arm in arms),
        "groups": [_group(arms, group, last) for group in comparable(arms)],
        "origins": [_origins(arm, last) for arm in arms],
        "survivals": [chart for arm in arms for chart in _survivals(arm, last)],
    }


def histograms(arms: Sequence[Arm]) -> tuple[list[Markup], list[str]]:
    """Return charts of the values that single samples have, and notes.

    A note names an arm whose values cannot be read, and says why.
    """
    drawn = []
    damaged = []
    for arm in arms:
        try:
            per_sample = read_per_sample(arm.folder)
        except InputError as error:
            damaged.append(f"{arm.name}: {error}")
            continue

        for name, values in per_sample.items():
            edges, counts = histogram(values)
            # Samples that are not finite are in no bin, and still count in the shares.
            shares = {g: (column / max(1, len(values[g]))).tolist() for g, column in counts.items()}
            title = f"{arm.name}: {name.replace('_', ' ')}"
            drawn.append(Markup(histogram_chart(title, edges.tolist(), shares)))
    return drawn, damaged


def _group(arms: Sequence[Arm], group: Sequence[Arm], last: int) -> dict[str, Any]:
    """Return the metrics of arms that can be compared; those of the headline stand first."""
    first = group[0].rows[0]
    colours = {arm.name: number for number, arm in enumerate(arms)}

    names = metric_names([row for arm in group for row in arm.rows])
    leading = [name for name in first.get("headline", ()) if name in names]
    ordered = [*leading, *(name for name in names if name not in leading)]
    drawn = [_metric_chart(name, group, colours, last) for name in ordered]
    open_at_first = max(len(leading), min(FEW, len(drawn)))

    kinds = ", ".join(dict.fromkeys(arm.kind for arm in group))
    return {
        "title": f"What is measured: {kinds}",
        "described": (
            f"{first['extractor']}, {first['n_real']} real ({first['reference']}) against "
            f"{first['n_synthetic']} synthetic samples. Grey: what real data score against real "
            "data; only what leaves it is collapse."
        ),
        "legend": [(_with_seeds(arm), colours[arm.name]) for arm in group],
        "theory": any(arm.theory for arm in group),
        "explained": _explained(ordered, first),
        "charts": drawn[:open_at_first],
        "more": drawn[open_at_first:],
    }


def _explained(names: Sequence[str], first: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the label, what it says and which values are better of each metric in the table."""
    words = [(metric_label(name, first), explanation(name)) for name in names]
    return [(label, each.says, each.better) for label, each in words if each is not None]


def _with_seeds(arm: Arm) -> str:
    if arm.bands:
        return f"{arm.name} ({arm.seeds} seeds)"
    return arm.name


def _metric_chart(name: str, group: Sequence[Arm], colours: Mapping[str, int], last: int) -> Markup:
    lines = [Line(arm.name, arm.series(name), colours[arm.name]) for arm in group]

    # Arms for which theory expects the same share one line.
    expectations = dict.fromkeys(tuple(arm.theory.get(name, ())) for arm in group)
    lines += [Line("theory", _points(enumerate(expected)), None) for expected in expectations]

    first = group[0].rows[0]
    floor = first["floor"].get(name)
    return Markup(line_chart(metric_label(name, first), lines, last, floor, metric=name))


def _points(values: Iterator[tuple[int, float | None]]) -> list[Point]:
    """Return the defined ones of (generation, value) as points without an error."""
    return [(g, value, value, value) for g, value in values if value is not None]


def _origins(arm: Arm, last: int) -> Markup:
    """Return the chart of what each training set of an arm consisted of."""
    shares = _training_shares(arm)
    origins = {key for of_row in shares for key in of_row} - {"real"}
    keys = sorted(filter(_is_drawn, origins), key=lambda key: (len(key), key))
    older = keys[:-LAYERS]
    recent = keys[-LAYERS:]

    layers = [("real", [of_row.get("real", 0.0) for of_row in shares])]
    for label in sorted(origins.difference(keys)):
        layers.append((f"given: {label}", [of_row.get(label, 0.0) for of_row in shares]))
    if older:
        together = [sum(of_row.get(key, 0.0) for key in older) for of_row in shares]
        layers.append((f"generations {older[0]} to {older[-1]}", together))
    for key in recent:
        layers.append((_layer_name(key), [of_row.get(key, 0.0) for of_row in shares]))
    return Markup(stacked_chart(arm.name, layers, last))


def _training_shares(arm: Arm) -> list[dict[str, float]]:
    """Return, for each row, the share of its training set by origin: `real` and the generations.

    Rows without origins only say how much was real; the rest is `earlier`.
    """
    if all("origins" in row for row in arm.rows):
        return [
            {key: count / row["n_train"] for key, count in row["origins"].items()}
            for row in arm.rows
        ]
    return [{"real": row["real_share"], EARLIER: 1 - row["real_share"]} for row in arm.rows]


def _is_drawn(key: str) -> bool:
    """Say whether an origin is a generation's number, and not the label of given data."""
    return key.isdigit() or key == EARLIER


def _layer_name(key: str) -> str:
    if key.isdigit():
        return f"generation {key}"
    return "earlier generations"


def _survivals(arm: Arm, last: int) -> Iterator[dict[str, Any]]:
    """Yield the chart of each survival table, and of what chance alone would leave of it."""
    for name in survival_tables(arm.rows):
        parts = list(arm.rows[0][name])[:MOST_LINES]
        yield {
            "chart": _survival_chart(arm, name, parts, last),
            "caption": SURVIVALS[name],
            "legend": [(part, colour) for colour, part in enumerate(parts)],
            "extinct": _extinct(arm, name),
        }

        by_chance = name + CHANCE
        if survival_tables(arm.rows, [by_chance]):
            yield {
                "chart": _survival_chart(arm, by_chance, parts, last),
                "caption": "chance of any",
                "legend": [],
                "extinct": "If each generation only drew by the shares of the last.",
            }


def _survival_chart(arm: Arm, name: str, parts: Sequence[str], last: int) -> Markup:
    lines = []
    for colour, part in enumerate(parts):
        values = ((row["generation"], part_of(row, name, part)) for row in arm.rows)
        lines.append(Line(part, _points(values), colour))
    return Markup(line_chart(arm.name, lines, last, from_zero=True))


def _extinct(arm: Arm, name: str) -> str:
    times = extinction_times(arm.rows, name)
    extinct = [f"{part} from {g}" for part, g in times.items() if g is not None]
    if not extinct:
        return ""
    gone = f"Nothing left of {', '.join(extinct)}"
    return f"{', '.join(filter(None, [gone, counted_by(arm.rows, name)]))}."
