"""The levels of a factor: what each of them changes in the base. No torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from imglab.config.merge import flattened
from imglab.config.problems import SHOWN, shortened
from imglab.config.schema import RunConfig
from imglab.config.section import Section
from imglab.errors import InputError, Problem, nearest
from imglab.store.reading import is_number

MULTIPLE = re.compile(r"(\d+(?:\.\d+)?|\.\d+)x")
"""A level as a multiple of what the base has, e.g. `3x`."""

SAMPLES = "samples"
"""The key of which the base may leave the number to the size of the real training set."""


def level_changes(
    key: str | None, levels: Sequence[Any] | Mapping[str, Any], base: RunConfig, place: str
) -> dict[str, Mapping[str, Any]]:
    """Return the name of each level of a factor, and which keys of the base it changes.

    Raises InputError where two levels have one name, or a multiple has no number to multiply.
    """
    if isinstance(levels, Mapping):
        return dict(levels)

    assert key is not None
    changes: dict[str, Mapping[str, Any]] = {}
    for number, level in enumerate(levels):
        label = level_label(level)
        if label in changes:
            what = f"{label} is there twice"
            raise InputError(Problem(f"{place}.levels.{number}", what, "levels must differ"))
        changes[label] = {key: _value(level, key, base, f"{place}.key")}
    return changes


def level_label(level: Any) -> str:
    """Return the name of a level: what the config has, in a line."""
    if isinstance(level, list):
        return "-".join(map(level_label, level))
    if isinstance(level, str):
        return level[:SHOWN]
    return shortened(level)


def _value(level: Any, key: str, base: RunConfig, place: str) -> Any:
    """Return the value of a level; a multiple is resolved by the base."""
    match = MULTIPLE.fullmatch(level) if isinstance(level, str) else None
    if match is None:
        return level

    value = _base_value(key, base, place)
    numbers = value if isinstance(value, list) else [value]
    if not numbers or not all(map(is_number, numbers)):
        what = f"{key} is {shortened(value)} in the base, of which there is no multiple"
        raise InputError(Problem(place, what, f"give base.{key}, or levels in full"))

    factor = float(match[1])
    multiples = [_multiple(number, factor) for number in numbers]
    if isinstance(value, list):
        return multiples
    return multiples[0]


def _multiple(number: float, factor: float) -> float:
    """Return a multiple that is whole where the number is."""
    if isinstance(number, int):
        return round(number * factor)
    return number * factor


def _base_value(key: str, base: RunConfig, place: str) -> Any:
    """Return what the base has under a dotted key, with its default if it is left out."""
    value: Any = base.model_dump(mode="json")
    for step in key.split("."):
        if not isinstance(value, dict) or step not in value:
            keys = [name for name, _ in flattened(base.model_dump(mode="json"))]
            raise InputError(Problem(place, f"the base has no key {key}", nearest(key, keys)))
        value = value[step]

    if value is None and key == SAMPLES and isinstance(base.modality, Section):
        return getattr(base.modality, "n_train", None)
    return value
