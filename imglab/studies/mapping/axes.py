"""The axes of a map: which key each changes, over which range. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from imglab.config.merge import flattened
from imglab.config.problems import shortened
from imglab.config.section import Section
from imglab.errors import InputError, Problem, nearest
from imglab.store.reading import is_number

Number = int | float

DECADE = 4.0
"""Ratio of the ends of a range from which on it is divided by ratios and not by differences."""

REACH = 4.0
"""How far the default range goes below and above what the config has."""

NOT_AXES = {
    "seed": "seeds are repetitions",
    "threads": "it changes nothing that is measured",
    "shown": "it changes nothing that is measured",
    "generations": "all chains are judged at the same length",
    "measure": "all chains are measured alike",
}
"""Keys that cannot be an axis, and why."""


def _in_full(value: Any) -> Any:
    """Read a list of numbers as the ends of a range."""
    if isinstance(value, list):
        return {"between": value}
    return value


class Range(Section):
    """Over which values a key goes: `between` two ends, or `values`."""

    between: Annotated[list[Number], Field(min_length=2, max_length=2)] | None = None
    """The end at which chains are expected to collapse, and the one at which they hold."""
    values: Annotated[list[Number], Field(min_length=1, max_length=20)] | None = None
    """All values; not for the first key, whose boundary is searched."""
    spacing: Literal["linear", "log"] | None = None
    """How a range is divided. Default: `log` where one end is at least four times the other."""

    @model_validator(mode="after")
    def _has_values(self) -> Range:
        if (self.between is None) == (self.values is None):
            raise ValueError("needs either `between` or `values`")
        if self.between is not None and self.between[0] == self.between[1]:
            raise ValueError("has `between` two equal ends")
        if self.spacing == "log" and self.between is not None and min(self.between) <= 0:
            raise ValueError("has `spacing: log` and an end that is not above 0")
        return self


RangeKey = Annotated[Range, BeforeValidator(_in_full)]


@dataclass(frozen=True)
class Axis:
    """A key and its range, whose ends are the positions 0 and 1.

    before   what the config has under the key: a number, or a list of numbers, of which the axis
             gives multiples
    values   all values, in their order; (): any between the ends
    """

    key: str
    before: Any
    low: float
    high: float
    is_log: bool
    values: tuple[Number, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether the values are whole numbers."""
        return isinstance(self.before, int)

    @property
    def is_multiple(self) -> bool:
        """Whether the values are multiples of a list of numbers."""
        return isinstance(self.before, list)

    def number(self, position: float) -> Number:
        """Return the number at a position in [0, 1]; positions of whole numbers may share one."""
        value = self.low + position * (self.high - self.low)
        if self.is_log:
            value = self.low * (self.high / self.low) ** position
        if self.values:
            return self.values[round(position * (len(self.values) - 1))]
        if self.is_whole:
            return round(value)
        return float(f"{value:.9g}")  # halvings of a logarithm would have endless digits

    def change(self, position: float) -> dict[str, Any]:
        """Return the change of the config at a position."""
        number = self.number(position)
        if not self.is_multiple:
            return {self.key: number}
        return {self.key: [_like(each, each * number) for each in self.before]}

    def described(self) -> dict[str, Any]:
        """Return what identifies the axis, as JSON values."""
        ends = {"low": self.number(0), "high": self.number(1), "log": self.is_log}
        return {"key": self.key, **ends, "values": list(self.values), "multiple": self.is_multiple}


def make_axis(
    key: str, asked: Range | None, tree: Mapping[str, Any], place: str, *, searched: bool
) -> Axis:
    """Return the axis of a key; InputError where it has no number that could change.

    asked     its range; None: from 0 to 1 for a share, otherwise from a quarter of what the config
              has to four times as much
    tree      the config with its defaults, as JSON
    searched  whether the boundary is searched along it
    """
    why = NOT_AXES.get(key.split(".")[0])
    if why is not None:
        raise InputError(Problem(place, f"{key} cannot be an axis: {why}", "choose another key"))

    before = _value(key, tree, place)
    if asked is None:
        asked = _default_range(before)
    if searched and asked.values is not None:
        what = "has `values`, but the boundary along the first key is searched"
        raise InputError(Problem(place, what, "give `between`, or put another key first"))

    if asked.values is not None:
        ends = [asked.values[0], asked.values[-1]]
    else:
        assert asked.between is not None
        ends = list(asked.between)
    if isinstance(before, int) and not all(float(end).is_integer() for end in ends):
        raise InputError(Problem(place, f"{key} is a whole number", "give whole ends"))
    is_log = asked.spacing == "log" or (asked.spacing is None and _spans_decades(ends))
    return Axis(key, before, ends[0], ends[1], is_log, tuple(asked.values or ()))


def _value(key: str, tree: Mapping[str, Any], place: str) -> Any:
    """Return what the config has under a key: a number, or a list of them."""
    value: Any = tree
    for step in key.split("."):
        if not isinstance(value, Mapping) or step not in value:
            keys = [name for name, each in flattened(tree) if _is_numeric(each)]
            raise InputError(Problem(place, f"the config has no key {key}", nearest(key, keys)))
        value = value[step]

    if not _is_numeric(value):
        keys = [name for name, each in flattened(tree) if _is_numeric(each)]
        what = f"{key} is {shortened(value)}, and not a number"
        raise InputError(Problem(place, what, _numeric_remedy(key, keys)))
    return value


def _numeric_remedy(key: str, keys: Sequence[str]) -> str:
    """Say what to do about a key that has no number."""
    below = [each for each in keys if each.startswith(f"{key}.")]
    if below:
        return f"did you mean {below[0]!r}?"
    return "give it a number in the config, or choose another key"


def _default_range(before: Any) -> Range:
    if isinstance(before, float) and 0 <= before <= 1:
        return Range(between=[0.0, 1.0])
    if isinstance(before, list):
        return Range(between=[0.5, 2.0])
    if isinstance(before, int):
        return Range(between=[max(1, round(before / REACH)), round(before * REACH)])
    return Range(between=[before / REACH, before * REACH])


def _spans_decades(ends: Sequence[Number]) -> bool:
    return min(ends) > 0 and max(ends) >= DECADE * min(ends)


def _is_numeric(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(map(is_number, value))
    return is_number(value)


def _like(before: Number, value: float) -> Number:
    """Return a value as a number of the kind that was there: at least 1 where that is whole."""
    if isinstance(before, int):
        return max(1, round(value))
    return value
