"""What repeated refitting does to linear and ridge regression.

The inputs are standard normal in d dimensions, N rows in a training set, and the noise has the
standard deviation sigma. A fit to responses of coefficients b is A b + noise, where A has the
eigenvalues a = g / (g + lambda) for each eigenvalue g of X'X / N, and the noise the variances
sigma^2 g / (g + lambda)^2 / N. Gerstgrasser et al. 2024 (2404.01413) is the case
lambda = 0; Dohmatob et al. 2024 (2402.07712, 2410.04840) treat ridge, N < d and mixtures. No torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from imglab.solvable.theory.case import Case, Curve

Vector = NDArray[np.float64]

NODES = 2000
"""Nodes of integrals over the spectrum."""


@dataclass(frozen=True)
class Spectrum:
    """A distribution over eigenvalues: what a fit does to each direction.

    weights  shares of the d directions, of sum 1, [K]
    kept     a: how much of a coefficient a fit to its responses keeps, [K]
    noise    variance of a fitted coefficient, in units of sigma^2, [K]
    """

    weights: Vector
    kept: Vector
    noise: Vector

    def mean(self, values: Vector) -> float:
        """Return the mean over the directions."""
        return float(self.weights @ values)


def least_squares(rows: int, d: int) -> Spectrum | None:
    """Return the spectrum without a penalty, exactly; None where the noise has no expectation.

    The expected noise is 1/(N-d-1) in each of the d directions, or for N < d 1/(d-N-1) in each of N
    directions, while the others are lost: the double descent around N = d.
    """
    if abs(rows - d) < 2:
        return None
    if rows > d:
        return Spectrum(np.array([1.0]), np.array([1.0]), np.array([1 / (rows - d - 1)]))
    weights = np.array([rows / d, 1 - rows / d])
    return Spectrum(weights, np.array([1.0, 0.0]), np.array([1 / (d - rows - 1), 0.0]))


def ridge(rows: int, d: int, penalty: float) -> Spectrum:
    """Return the spectrum with a penalty, in the limit of large N and d (Marchenko and Pastur).

    With phi = d/N the eigenvalues are 1 + phi - 2 sqrt(phi) cos(angle), with the density
    2 sin(angle)^2 / (pi g) over angles in (0, pi), and 0 for a share 1 - 1/phi where phi > 1.
    """
    phi = d / rows
    angles = (np.arange(NODES) + 0.5) * np.pi / NODES
    g = 1 + phi - 2 * phi**0.5 * np.cos(angles)
    weights = 2 * np.sin(angles) ** 2 / (np.pi * g) * np.pi / NODES

    g = np.append(g, 0.0)
    weights = np.append(weights, max(0.0, 1 - 1 / phi))
    return Spectrum(weights / weights.sum(), g / (g + penalty), g / (g + penalty) ** 2 / rows)


def spectrum(rows: int, d: int, penalty: float) -> Spectrum | None:
    """Return what a fit to so many rows does."""
    if penalty == 0:
        return least_squares(rows, d)
    return ridge(rows, d, penalty)


def replace(
    of_fit: Spectrum, d: int, *, signal: float, noise: float, same_inputs: bool
) -> Iterator[float]:
    """Yield the expected excess risk of generations 0, 1, ..., each fitted to the last one's draws.

    On the same inputs each direction keeps a^t of its coefficient, and its noises add up with
    factors a^(2k); without a penalty this is t sigma^2 d / (N-d-1). On fresh inputs, whose
    directions have nothing in common, the means of a and a^2 take their place.
    """
    length = np.ones_like(of_fit.kept)  # b of each direction over its true value
    square = np.ones_like(of_fit.kept)  # its expected square, in units of |beta|^2 / d
    variance = np.zeros_like(of_fit.kept)
    a = of_fit.kept
    squared = a**2
    added = of_fit.noise
    if not same_inputs:
        a = np.full_like(a, of_fit.mean(a))
        squared = np.full_like(a, of_fit.mean(squared))
        added = np.full_like(a, of_fit.mean(added))

    while True:
        length = a * length
        square = squared * square
        variance = squared * variance + added
        bias = of_fit.mean(1 - 2 * length + square)
        yield signal**2 * bias + noise**2 * d * of_fit.mean(variance)


def accumulate(of_fit: Spectrum, d: int, *, signal: float, noise: float) -> Iterator[float]:
    """Yield the expected excess risk of generations 0, 1, ..., fitted to all draws so far.

    The inputs are the same in all generations, so that a fit sees the mean response: each direction
    follows b_{t+1} = (t b_t + a b_t + noise) / (t+1). Without a penalty the risk is
    sigma^2 d / (N-d-1) times the sum of 1/k^2, below pi^2/6.
    """
    length = of_fit.kept
    variance = of_fit.noise
    for t in count(1):
        bias = of_fit.mean((1 - length) ** 2)
        yield signal**2 * bias + noise**2 * d * of_fit.mean(variance)

        factor = (t + of_fit.kept) / (t + 1)
        length = factor * length
        variance = factor**2 * variance + of_fit.noise / (t + 1) ** 2


def passed_on(real: int, synthetic: int, d: int) -> float:
    """Return which share of the last excess risk a least-squares fit to a mixture inherits.

    With G = X'X over all N rows and G_2 over the synthetic ones, it is E |G^-1 G_2 e|^2 for a unit
    vector e, exactly. B = G^(-1/2) G_2 G^(-1/2) has the matrix beta distribution, is independent
    of G, and E B M B = (v - c) M + c tr(M) I, with v = E B_11^2, c = E B_12^2. For large N it tends
    to (synthetic / N)^2, however many rows there are: the strong collapse of Dohmatob et al. 2024.
    """
    rows = real + synthetic
    total = rows / 2
    a = synthetic / 2
    v = a * (a + 1) / (total * (total + 1))
    minor = a / total * (a - 0.5) / (total - 0.5)  # E (B_11 B_22 - B_12^2)
    c = (v - minor) / 3
    if d == 1:
        return v
    return v - c + c * (rows * d - 2) / (rows - d - 1)


def mixed(case: Case, d: int, noise: float) -> Iterator[float]:
    """Yield the excess risk of least squares on fresh real and fresh synthetic pairs."""
    risk = noise**2 * d / (case.real - d - 1)
    yield risk
    for real, synthetic in case.parts or ():
        rows = real + synthetic
        risk = passed_on(real, synthetic, d) * risk + noise**2 * d / (rows - d - 1)
        yield risk


def predict_regression(case: Case) -> dict[str, Curve]:
    """Return the expected excess risk and test error of each generation."""
    excess = case.curve(_risks(case))
    noise: float = case.data.noise
    test = [None if risk is None else risk + noise**2 for risk in excess]
    if excess[0] is None:
        return {}
    return {"excess_risk": excess, "test_error": test}


def _risks(case: Case) -> Iterator[float]:
    """Yield the expected excess risk as far as it is known."""
    data = case.data
    d: int = data.dimensions
    of_fit = spectrum(case.real, d, case.model.penalty)
    if of_fit is None:
        return iter(())

    same = data.inputs == "same"
    if case.composition.trains_on == "last" and case.is_even:
        return replace(of_fit, d, signal=data.signal, noise=data.noise, same_inputs=same)
    if case.composition.trains_on == "all" and case.is_even and same:
        return accumulate(of_fit, d, signal=data.signal, noise=data.noise)

    # Real rows that are new each time, and more rows than dimensions in every fit.
    is_new = case.composition.shared is None and not same and case.parts is not None
    sizes = [case.real, *(sum(pair) for pair in case.composition.parts or ((case.left, 0),))]
    if is_new and case.model.penalty == 0 and min(sizes) > d + 1:
        return mixed(case, d, data.noise)
    return iter(())
