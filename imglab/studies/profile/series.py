"""Which metric of a run answers a definition: the first of several that its generations have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imglab.store.layout import FIRST_CALIBRATED
from imglab.store.reading import is_number
from imglab.studies.profile.trend import FEWEST, Values

Rows = Sequence[Mapping[str, Any]]
"""The metrics of a run's generations, from 0 on."""


@dataclass(frozen=True)
class Candidate:
    """A metric that can answer a definition.

    metric  its name in metrics.json; dots lead into tables and lists, e.g. `recall_by_decile.0`
    worse   +1 if more of it is harm, -1 if less is
    share   whether it lies between 0 and 1, so that changes are judged as they are
    """

    metric: str
    worse: int = 1
    share: bool = False


@dataclass(frozen=True)
class Series:
    """A metric over generations.

    values  float [T]
    errors  their standard errors, 0 where there are none, [T]
    apart   of a share: how far two sets of real data lie apart in each, 0 where unknown, [T]
    """

    candidate: Candidate
    values: Values
    errors: Values
    apart: Values

    @property
    def metric(self) -> str:
        """The metric's name."""
        return self.candidate.metric

    @property
    def harm(self) -> Values:
        """The values, signed so that a rise is harm."""
        return self.candidate.worse * self.values


class Unanswered(Exception):
    """No metric of a run answers a definition; the text says why."""


def choose(rows: Rows, candidates: Sequence[Candidate], format_version: int | None) -> Series:
    """Return the first metric that enough generations have, generation 0 among them.

    Raises Unanswered if there is none.
    """
    longest = 0
    for candidate in candidates:
        series = _series(rows, candidate)
        if series is None:
            continue
        if len(series.values) >= FEWEST:
            return series
        longest = max(longest, len(series.values))

    if longest:
        raise Unanswered(f"needs {FEWEST} generations in which it is defined; there are {longest}")
    raise Unanswered(_why_missing(rows, candidates, format_version))


def value_of(row: Mapping[str, Any], metric: str) -> float | None:
    """Return a number of a generation's metrics; None: undefined.

    A table of counts stands for how many of them are at least 1.
    """
    value: Any = row
    for key in metric.split("."):
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None

    if isinstance(value, Mapping) and value:
        return float(sum(is_number(count) and count >= 1 for count in value.values()))
    if is_number(value):
        return float(value)
    return None


def _series(rows: Rows, candidate: Candidate) -> Series | None:
    """Return a metric where it is defined; None if the first or the last generation has none.

    A metric that is withheld at the end says nothing of what became of the chain.
    """
    if not rows or value_of(rows[0], candidate.metric) is None:
        return None
    if value_of(rows[-1], candidate.metric) is None:
        return None

    values = []
    errors = []
    apart = []
    for row in rows:
        value = value_of(row, candidate.metric)
        if value is not None:
            values.append(value)
            errors.append(value_of(row, f"{candidate.metric}_se") or 0.0)
            apart.append(_spread_of_floor(row, candidate))
    return Series(candidate, np.array(values), np.array(errors), np.array(apart))


def _spread_of_floor(row: Mapping[str, Any], candidate: Candidate) -> float:
    """Return the standard deviation of a share between two sets of real data; 0 where unknown."""
    name, dot, place = candidate.metric.partition(".")
    if not candidate.share:
        return 0.0
    return value_of(row, f"floor.{name}.sd{dot}{place}") or 0.0


def _why_missing(rows: Rows, candidates: Sequence[Candidate], format_version: int | None) -> str:
    """Say why no metric of these is in a run."""
    names = [candidate.metric for candidate in candidates]
    reasons: dict[str, str] = {}
    if rows:
        reasons = {**rows[-1].get("reasons", {}), **rows[0].get("reasons", {})}
    for name in names:
        metric = name.partition(".")[0]
        if metric in reasons:
            return f"{name} is undefined: {reasons[metric]}"

    listed = ", ".join(names)
    if format_version is not None and format_version < FIRST_CALIBRATED:
        return f"made before format {FIRST_CALIBRATED}: there is none of {listed}"
    return f"not measured: there is none of {listed}"
