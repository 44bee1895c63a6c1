"""What was measured of a generation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Features:
    """The features of N samples, float32 [N, D], and the name of their extractor."""

    values: Tensor
    extractor: str


@dataclass(frozen=True)
class Measures:
    """What was measured.

    values      JSON values by name; None where undefined
    reasons     for each None, why it is undefined
    per_sample  tensors with one row for each sample
    floor       what real data score at the same sizes, {"mean": .., "sd": ..}, or None; only for
                the metrics that have a floor
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    per_sample: Mapping[str, Tensor] = field(default_factory=dict)
    floor: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def joined(cls, parts: Sequence[Measures]) -> Measures:
        """Join what was measured separately; where parts share a name, the last one wins."""
        columns: dict[str, dict[str, Any]] = {}
        for column in fields(cls):
            columns[column.name] = {}
            for part in parts:
                columns[column.name].update(getattr(part, column.name))
        return cls(**columns)

    def finite(self) -> Measures:
        """Return the same measures with None for infinity and NaN, which come from an overflow.

        Each value that changes gets a reason, unless it has one.
        """
        values = {name: _finite(value) for name, value in self.values.items()}
        overflowed = [name for name, value in self.values.items() if value != values[name]]
        reasons = dict.fromkeys(overflowed, "overflowed: it is no finite number")
        floor = {name: _finite(value) for name, value in self.floor.items()}
        return replace(self, values=values, reasons={**reasons, **self.reasons}, floor=floor)


def _finite(value: Any) -> Any:
    """Return a JSON value with None in the place of each number that is not finite."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_finite(inner) for inner in value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


@dataclass(frozen=True)
class NearestReal:
    """The real samples that stand beside N generated ones where a person looks at them.

    index     the nearest real training samples in feature space, nearest first, int64 [N, K];
              K = 0 where that is undefined
    distance  their distances, in feature units, float64 [N, K]
    rows      all values of `index`, ascending, int64 [U]
    real      data of the real samples `rows`, [U, ...]
    words     what `Modality.read` returns for the N samples ("shown") and the U real ones ("real")
    """

    index: Tensor
    distance: Tensor
    rows: Tensor
    real: Tensor
    words: Mapping[str, list[dict[str, str]] | None]


@dataclass(frozen=True)
class RealShown:
    """A few held-out real samples that stand beside generation 0, where a person looks at it.

    data   of the samples, [N, ...]
    words  what `Modality.read` returns for them
    """

    data: Tensor
    words: Sequence[Mapping[str, str]] | None


@dataclass(frozen=True)
class Continuation:
    """One held-out real opening, as a generation continued it.

    opening     what is continued
    real        how it really goes on
    text        how the generation goes on
    row         which one of the openings it is
    among       how many openings there are
    perplexity  of opening and real text under generation 0's model, by which the opening was
                chosen: the median; None: it is infinite
    """

    opening: str
    real: str
    text: str
    row: int
    among: int
    perplexity: float | None
