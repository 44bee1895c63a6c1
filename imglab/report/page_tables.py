"""The tables of a page: all numbers, what the arms differ in, and how they were made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from imglab.config.merge import flattened
from imglab.errors import InputError
from imglab.report.arms import Arm, differences
from imglab.report.explanations import explanation
from imglab.report.table import floor_text, gate_lines, metric_label, undefined_reasons, value_text
from imglab.safe_text import is_local_path, without_local_paths
from imglab.store.reading import metric_names

HASH = 16
"""Characters that are shown of a hash."""


def tables(arms: Sequence[Arm]) -> dict[str, Any]:
    """Return the tables' part of the template's values."""
    return {
        "tables": [_metrics(arm) for arm in arms],
        "names": [arm.name for arm in arms],
        "differences": [
            (key, [_setting(value) for value in values])
            for key, values in differences(arms).items()
        ],
        "provenance": [_provenance(arm) for arm in arms],
    }


def _metrics(arm: Arm) -> dict[str, Any]:
    """Return the table of an arm's metrics: a row for each generation, after that of the floor."""
    first = arm.rows[0]
    names = metric_names(arm.rows)

    return {
        "title": arm.name,
        "names": [(metric_label(name, first), _says(name)) for name in names],
        "floor": [floor_text(first, name) for name in names],
        "rows": [
            (row["generation"], [value_text(row, name) for name in names]) for row in arm.rows
        ],
        "gate": gate_lines(arm.rows),
        "reasons": undefined_reasons(arm.rows),
    }


def _says(metric: str) -> str:
    words = explanation(metric)
    if words is None:
        return ""
    return words.says


def _setting(value: Any) -> str:
    """Write the value of a config key; a key that the config does not have is blank."""
    if value is None:
        return ""
    if isinstance(value, str):
        return without_local_paths(value)
    return without_local_paths(json.dumps(value))


def _provenance(arm: Arm) -> dict[str, Any]:
    """Return how an arm was made: config, environment, seconds of each stage, manifests' hashes."""
    seconds = arm.seconds()
    stages = list(dict.fromkeys(stage for of_stage in seconds.values() for stage in of_stage))

    generations = []
    for g in range(len(arm.rows)):
        of_stage = seconds.get(g, {})
        cells = [_seconds(of_stage.get(stage)) for stage in stages]
        generations.append((g, cells, _manifest_hash(arm, g)))

    return {
        "name": arm.name,
        "folder": without_local_paths(str(arm.folder)),
        "config": _config(arm),
        "environment": _environment(arm),
        "stages": stages,
        "generations": generations,
    }


def _config(arm: Arm) -> str:
    """Return the text of an arm's config, with the last names alone of local paths."""
    path = arm.folder / "config.yaml"
    text = path.read_text(encoding="utf-8", errors="replace")
    for _, value in flattened(arm.config.model_dump(mode="json")):
        if isinstance(value, str) and is_local_path(value):
            text = text.replace(value, without_local_paths(value))
    return without_local_paths(text)


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1f}"


def _manifest_hash(arm: Arm, g: int) -> str:
    """Return the hash in a manifest, or what is wrong with its file: the others are still shown."""
    try:
        return str(arm.manifest(g)["self"])[:HASH]
    except InputError as error:
        return without_local_paths(str(error))


def _environment(arm: Arm) -> str:
    """Return what the arm was made with as JSON, or what is wrong with its file."""
    try:
        return without_local_paths(json.dumps(arm.environment(), indent=1))
    except InputError as error:
        return without_local_paths(str(error))
