"""Metrics: pure functions of feature matrices, keyword-only, float64 inside.

Features are float [N, D], finite. `real=` is what `synthetic=` is compared with. A metric that is
undefined at a size raises `Undefined` with the reason.
"""

from imglab.metrics.frechet import (
    Moments,
    frechet_distance,
    frechet_of_moments,
    frechet_standard_error,
)
from imglab.metrics.kernel import kernel_distance
from imglab.metrics.memorization import (
    duplicate_share,
    nearest_distance,
    nearest_distances,
    nearest_samples,
)
from imglab.metrics.prdc import PRDC, prdc
from imglab.metrics.undefined import Undefined, check_features
from imglab.metrics.vendi import vendi_score

__all__ = [
    "PRDC",
    "Moments",
    "Undefined",
    "check_features",
    "duplicate_share",
    "frechet_distance",
    "frechet_of_moments",
    "frechet_standard_error",
    "kernel_distance",
    "nearest_distance",
    "nearest_distances",
    "nearest_samples",
    "prdc",
    "vendi_score",
]
