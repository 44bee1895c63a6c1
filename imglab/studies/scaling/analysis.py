"""Which law an error follows over sizes, with its exponent, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats

from imglab.solvable.theory.scaling import Vector, exponents, plateau, power_law
from imglab.studies.sweeps.statistics import LEVEL, holm, mean_interval, paired

METHOD = (
    "Every seed has an exponent c of its own, by least squares on the logarithms of sizes and "
    "errors; its interval is Student's over seeds, as is that of a difference between two kinds of "
    "data, which is paired by seed. error = A n^-c is compared with error = E + A n^-c: `gain` is "
    "how much lower the squared misfit of the second law is, in standard errors of the mean log "
    "error at each size, where every seed has a factor A of its own. A law that levels off is "
    "convex in logarithms, a power law straight: p is that of Student's one-sided test over seeds "
    "that the curvature of log errors over log sizes is above 0, which is exact for few seeds, and "
    "for scatter that sizes share, where scatter is normal. A plateau is shown where p, corrected "
    "by Holm's method for the kinds of data, is below 5% and the gain above 0; "
    "elsewhere nothing is shown of what lies beyond the largest size. A law that bends in another "
    "way may be taken for one that levels off: no third law is compared. `evidence` is the "
    "difference of Akaike's criteria, corrected for few sizes, of which five are the fewest that "
    "have one: it counts against a plateau with 20 there."
)

EXPONENTS = np.geomspace(0.02, 4, 160)
LEVELS = np.concatenate([[0.0], np.geomspace(1e-3, 100, 60)])
"""Plateaus, in units of what falls at the smallest size; 0: none."""

ALPHA = 1 - LEVEL
PLATEAU = "levels off"
NO_PLATEAU = "no plateau shown"

Errors = Mapping[str, Vector]
"""Kind of data -> errors, float64 [seeds, sizes], all above 0."""


def scaling_laws(sizes: Vector, errors: Errors) -> dict[str, Any]:
    """Return the laws of each kind of data, and how the others' exponents differ from the first's.

    sizes  float64 [sizes], ascending
    """
    laws = {name: law_of(sizes, values) for name, values in errors.items()}
    corrected = holm([law["p"] for law in laws.values()])
    for law, p in zip(laws.values(), corrected, strict=True):
        law["p_holm"] = p
        law["verdict"] = NO_PLATEAU
        if p is not None and p < ALPHA and law["gain"] > 0:
            law["verdict"] = PLATEAU
    return {"method": METHOD, "laws": laws, "differences": _differences(sizes, errors)}


def law_of(sizes: Vector, errors: Vector) -> dict[str, Any]:
    """Return the two laws that are fitted to errors [seeds, sizes], as JSON values."""
    straight = power_law(sizes, errors)
    aligned = _aligned(np.log(errors))
    levelled = plateau(sizes, np.exp(aligned))
    means = [mean_interval(column) for column in np.log(errors).T]
    return {
        "errors": [
            {"mean": _exp(each.estimate), "low": _exp(each.low), "high": _exp(each.high)}
            for each in means
        ],
        "seeds": len(errors),
        "exponent": straight.exponent,
        "low": straight.low,
        "high": straight.high,
        "level": levelled.level,
        "level_exponent": levelled.exponent,
        "evidence": levelled.evidence,
        "gain": plateau_gain(sizes, aligned),
        "p": chance_of_plateau(sizes, errors),
    }


def chance_of_plateau(sizes: Vector, errors: Vector) -> float:
    """Return the p-value of Student's one-sided test that log errors [seeds, sizes] are convex.

    Each seed has one number: the contrast of its log errors that is quadratic in log size, and
    orthogonal to a factor and an exponent of its own. Its mean is 0 for a power law, whatever the
    covariance of the scatter over sizes. A level above 0 makes it positive: what bends in a law
    that levels off is nearly this contrast (cosine .98 or more with five sizes over a factor of 16,
    for exponents up to 1 and levels from .01 to 3 of what falls at the smallest size).
    """
    x = np.log(sizes / sizes[0])
    basis, _ = np.linalg.qr(np.vander(x, 3, increasing=True))
    contrast = basis[:, 2] * np.sign(basis[0, 2])
    bends = np.log(errors) @ contrast  # [seeds]

    n = len(bends)
    error = max(float(bends.std(ddof=1)), 1e-9) / np.sqrt(n)
    return float(stats.t.sf(bends.mean() / error, n - 1))


def plateau_gain(sizes: Vector, logs: Vector) -> float:
    """Return by how much a plateau lowers the squared misfit of the mean of logs [seeds, sizes].

    log error = log A + log(n^-c + rho), of which log A has a closed form, with c and rho on a grid;
    rho = 0 is the power law. Misfits are in standard errors of the mean.
    """
    error = np.maximum(logs.std(0, ddof=1) / np.sqrt(len(logs)), 1e-9)
    weights = 1 / error**2
    x = np.log(sizes / sizes[0])
    powers = np.exp(-EXPONENTS[:, None, None] * x)  # [exponents, 1, sizes]
    shapes = np.log(powers + LEVELS[:, None])  # [exponents, levels, sizes]

    residuals = logs.mean(0) - shapes
    means = residuals @ weights / weights.sum()
    misfits = (residuals - means[..., None]) ** 2 @ weights
    return float(misfits[:, 0].min() - misfits.min())


def _aligned(logs: Vector) -> Vector:
    """Return logs [seeds, sizes] with the same mean over sizes in all seeds.

    A factor that a seed has at all sizes says nothing of the shape of the law.
    """
    aligned: Vector = logs - logs.mean(1, keepdims=True) + logs.mean()
    return aligned


def _differences(sizes: Vector, errors: Errors) -> dict[str, Any]:
    """Return by how much each exponent is above the first one's, paired by seed.

    `smaller` says whether it is shown to be smaller.
    """
    first, *others = errors
    slopes = {name: exponents(sizes, values) for name, values in errors.items()}
    intervals = {name: paired(slopes[name], slopes[first]) for name in others}
    corrected = holm([interval.p for interval in intervals.values()])

    return {
        name: {
            "against": first,
            "estimate": interval.estimate,
            "low": interval.low,
            "high": interval.high,
            "p": interval.p,
            "p_holm": p,
            "smaller": p is not None and p < ALPHA and interval.estimate < 0,
        }
        for (name, interval), p in zip(intervals.items(), corrected, strict=True)
    }


def _exp(value: float) -> float:
    return float(np.exp(value))
