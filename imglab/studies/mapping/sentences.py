"""What a map answers, in words. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from imglab.studies.mapping.columns import BLOCKED, BOUNDARY, COLLAPSES, HOLDS, OPEN
from imglab.studies.mixing.sentences import named_criterion


def sentences(result: Mapping[str, Any]) -> list[str]:
    """Return what `map.json` says: the whole first, then a line for each column."""
    return list(_sentences(result))


def _sentences(result: Mapping[str, Any]) -> Iterator[str]:
    if not result["finished"]:
        yield "Not decided: the map was not finished; the same command goes on."
        return

    yield _whole(result)
    yield f"A chain holds where {criterion_text(result)}."
    for column in result["columns"]:
        yield column_text(result, column)


def _whole(result: Mapping[str, Any]) -> str:
    """Say how many columns have which verdict."""
    axes = result["question"]["axes"]
    counts = Counter(column["verdict"] for column in result["columns"])
    texts = {
        BOUNDARY: f"have a boundary in {axes[0]['key']}",
        HOLDS: "hold throughout",
        COLLAPSES: "collapse throughout",
        BLOCKED: "are blocked",
        OPEN: "are not decided",
    }
    parts = [f"{counts[verdict]} {text}" for verdict, text in texts.items() if counts[verdict]]
    seeds = len(result["question"]["seeds"])
    chains = sum(len(column["cells"]) for column in result["columns"])
    return (
        f"Of {len(result['columns'])} columns, {', '.join(parts)} ({seeds} seeds, {chains} chains)."
    )


def column_text(result: Mapping[str, Any], column: Mapping[str, Any]) -> str:
    """Say what a column answers."""
    return f"{_place(result, column)}{_outcome(result, column)}{_exact(column)}."


def _place(result: Mapping[str, Any], column: Mapping[str, Any]) -> str:
    names = place_text(result, column)
    if not names:
        return ""
    return f"{names}: "


def place_text(result: Mapping[str, Any], column: Mapping[str, Any]) -> str:
    """Return where a column is, e.g. `modality.n_train 100`; "" where there is one axis alone."""
    axes = result["question"]["axes"][1:]
    pairs = zip(axes, column["at"], strict=True)
    return ", ".join(f"{key_text(axis)} {number:g}" for axis, number in pairs)


def key_text(axis: Mapping[str, Any]) -> str:
    """Return the name of an axis: a key, or a key of whose numbers it gives multiples."""
    if axis["multiple"]:
        return f"{axis['key']} times"
    return str(axis["key"])


def _outcome(result: Mapping[str, Any], column: Mapping[str, Any]) -> str:
    axis = result["question"]["axes"][0]
    key = key_text(axis)
    verdict = column["verdict"]
    if verdict == BOUNDARY:
        return f"{_direction(axis)} {key} {column['estimate']:.3g} ({interval_text(column)})"
    if verdict == HOLDS:
        return f"holds from {key} {axis['low']:g} to {axis['high']:g}"
    if verdict == COLLAPSES:
        return f"collapses even at {key} {axis['high']:g} ({column['reason']})"
    return f"{verdict}: {column['reason']}"


def _direction(axis: Mapping[str, Any]) -> str:
    if axis["low"] < axis["high"]:
        return "holds from"
    return "holds down to"


def interval_text(column: Mapping[str, Any]) -> str:
    """Return the interval of a boundary in words."""
    low = column["low"]
    high = column["high"]
    if low is None:
        return f"95% interval to {high:.3g}; with some seeds it holds throughout"
    if high is None:
        return f"95% interval from {low:.3g}; with some seeds it collapses throughout"
    return f"95% interval {low:.3g} to {high:.3g}"


def _exact(column: Mapping[str, Any]) -> str:
    exact = column["exact"]
    if exact is None:
        return ""
    if exact["position"] is None:
        return f"; the closed form {exact['verdict']} throughout"
    return f"; the closed form says {exact['number']:.3g}"


def criterion_text(result: Mapping[str, Any]) -> str:
    """Say when a chain holds."""
    criterion = result["question"]["criterion"]
    if isinstance(criterion, Mapping):
        return f"its last generation has {_event_text(criterion)}"
    return named_criterion(criterion, result["thresholds"])


def _event_text(event: Mapping[str, Any]) -> str:
    """Say where a metric has to stay."""
    from imglab.studies.sweeps.warning_config import Event

    side = "at most"
    if Event.model_validate(event).side == "falls":
        side = "at least"
    unit = {
        "absolute": "",
        "generation0": " times its value in generation 0",
        "floor": " standard deviations of the floor beyond its mean",
    }[event["relative_to"]]
    return f"{event['metric']} {side} {event['threshold']:g}{unit}"


def levels_of(result: Mapping[str, Any]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Return the columns of each value of the third key, in the order of the second.

    The name of a group is "" where there is no third key.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for column in result["columns"]:
        name = ""
        if len(column["at"]) > 1:
            name = f"{key_text(result['question']['axes'][2])} {column['at'][1]:g}"
        groups.setdefault(name, []).append(column)
    return [
        (name, sorted(group, key=lambda each: each["at"][:1])) for name, group in groups.items()
    ]
