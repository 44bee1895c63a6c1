"""What was measured of a generation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Features:
    """Features of N samples, float32 [N, D], and the name of the extractor that took them."""

    values: Tensor
    extractor: str


@dataclass(frozen=True)
class Measures:
    """What was measured.

    values      JSON values; None where undefined
    reasons     why, for each None
    per_sample  tensors with a row for each sample
    floor       what real data score at the same sizes, {"mean": .., "sd": ..} or None, where that is known
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    per_sample: Mapping[str, Tensor] = field(default_factory=dict)
    floor: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def joined(cls, parts: Sequence[Measures]) -> Measures:
        """Put together what was measured apart."""
        each = [[getattr(part, column.name) for part in parts] for column in fields(cls)]
        return cls(
            *(
                {name: value for column in columns for name, value in column.items()}
                for columns in each
            )
        )

    def finite(self) -> Measures:
        """Return the same with None, and a reason, for every number that is infinite or none: it overflowed."""
        values = {name: _finite(value) for name, value in self.values.items()}
        lost = [name for name, value in self.values.items() if value != values[name]]
        reasons = {**dict.fromkeys(lost, "overflowed: it is no finite number"), **self.reasons}
        return replace(
            self,
            values=values,
            reasons=reasons,
            floor={k: _finite(v) for k, v in self.floor.items()},
        )


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_finite(inner) for inner in value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class NearestReal:
    """What stands beside the shown samples, N of them, where a person looks at them.

    index     which real training samples are nearest in feature space, nearest first, int64 [N, K]; K = 0: undefined
    distance  how far they are, in feature units, float64 [N, K]
    rows      all that `index` names, in order, int64 [U]
    real      their data, [U, ...]
    words     what `Modality.read` says of the N shown samples and of the U real ones
    """

    index: Tensor
    distance: Tensor
    rows: Tensor
    real: Tensor
    words: Mapping[str, list[dict[str, str]] | None]
