"""The one way a metric says that it has no value here."""

from __future__ import annotations

import torch
from torch import Tensor


class Undefined(ValueError):
    """The metric is not defined for these features; the message says why."""


def check_features(*, real: Tensor, synthetic: Tensor, at_least: int) -> None:
    """Raise `Undefined` unless both are finite matrices with at least `at_least` rows.

    Raises ValueError if one is not a matrix or their widths differ.
    """
    for name, features in (("real", real), ("synthetic", synthetic)):
        if features.dim() != 2:
            raise ValueError(f"{name} features must be [N, D], not {list(features.shape)}")
        if len(features) < at_least:
            raise Undefined(f"needs at least {at_least} {name} samples, has {len(features)}")
        if not all(bool(bound.isfinite()) for bound in torch.aminmax(features)):
            raise Undefined(f"{name} features hold NaN or infinity")

    if real.shape[1] != synthetic.shape[1]:
        raise ValueError(
            f"feature widths differ: real {real.shape[1]}, synthetic {synthetic.shape[1]}"
        )
