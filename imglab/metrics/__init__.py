"""Metrics: pure functions of feature matrices, keyword-only, float64 inside.

Features are float [N, D], finite. `real=` is what `synthetic=` is compared with. A metric that is
undefined at a size raises `Undefined` with the reason.
"""

from imglab.metrics.bounded import bounded_precision_recall, why_recall_is_withheld
from imglab.metrics.frechet import (
    FrechetParts,
    Moments,
    frechet_distance,
    frechet_of_moments,
    frechet_parts,
    frechet_standard_error,
    match_moments,
)
from imglab.metrics.kernel import kernel_distance, kernel_distance_standardised
from imglab.metrics.memorization import (
    agreement,
    duplicate_share,
    memorization_share,
    nearest_distance,
    nearest_distances,
    nearest_samples,
)
from imglab.metrics.prdc import PRDC, prdc
from imglab.metrics.probabilistic import probabilistic_precision_recall
from imglab.metrics.share_interval import share_interval
from imglab.metrics.tails import by_decile
from imglab.metrics.two_sample import two_sample_auc
from imglab.metrics.undefined import Undefined, check_features
from imglab.metrics.vendi import vendi_score

__all__ = [
    "PRDC",
    "FrechetParts",
    "Moments",
    "Undefined",
    "agreement",
    "bounded_precision_recall",
    "by_decile",
    "check_features",
    "duplicate_share",
    "frechet_distance",
    "frechet_of_moments",
    "frechet_parts",
    "frechet_standard_error",
    "kernel_distance",
    "kernel_distance_standardised",
    "match_moments",
    "memorization_share",
    "nearest_distance",
    "nearest_distances",
    "nearest_samples",
    "prdc",
    "probabilistic_precision_recall",
    "share_interval",
    "two_sample_auc",
    "vendi_score",
    "why_recall_is_withheld",
]
