"""A chain of perfect diffusion models that stop at time delta is a low-pass filter.

Khelifa et al. 2026 (2606.13796). The Ornstein-Uhlenbeck process has the Hermite polynomials as
eigenfunctions: carried forward by delta, a distribution's coefficient c_k = E He_k(x) is multiplied
by q = e^(-k delta). The coefficient of a training set is the mean over its samples, so that the
expectations follow exactly, for any number of samples. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import count

from imglab.solvable.hermite import ORDERS
from imglab.solvable.theory.case import Case, Curve


def low_pass(order: int, stop: float, real_fraction: float, t: int) -> float:
    """Return c_t / c_0 after t fits, with a share alpha of real data in each but the first.

    q alpha (1 - ((1-alpha) q)^t) / (1 - (1-alpha) q) + ((1-alpha) q)^t, where q = e^(-k delta).
    """
    q = math.exp(-order * stop)
    decay = (1 - real_fraction) * q
    return q * real_fraction * (1 - decay**t) / (1 - decay) + decay**t


def component_coefficient(order: int, means: list[float]) -> float:
    """Return c_k of a mixture of equal, unit-variance normal components: the mean of mu^k."""
    return sum(mean**order for mean in means) / len(means)


def predict_stopped_diffusion(case: Case) -> dict[str, Curve]:
    """Return the expected Hermite coefficients of each generation."""
    curves: dict[str, Curve] = {}
    for order in ORDERS:
        true = component_coefficient(order, case.data.means)
        q = math.exp(-order * case.model.stop)
        curves[f"hermite_{order}"] = case.curve(_coefficients(case, true, q))
    return curves


def _coefficients(case: Case, true: float, q: float) -> Iterator[float]:
    """Yield the coefficient of generations 0, 1, ...; `true` is that of the real data."""
    if case.parts is not None:
        return _of_last(case, true, q)
    if case.composition.trains_on in ("all", "subsample"):
        return _of_pool(case, true, q)
    return iter(())


def _of_last(case: Case, true: float, q: float) -> Iterator[float]:
    fitted = q * true
    yield fitted
    for real, synthetic in case.parts or ():
        fitted = q * (real * true + synthetic * fitted) / (real + synthetic)
        yield fitted


def _of_pool(case: Case, true: float, q: float) -> Iterator[float]:
    """Follow the mean over all samples so far; a random part of them has the same expectation."""
    pool = true
    for t in count(1):
        fitted = q * pool
        yield fitted
        size = case.real + (t - 1) * case.left
        pool = (size * pool + case.left * fitted) / (size + case.left)
