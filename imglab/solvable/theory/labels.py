"""How right a classifier is that learns from labels which passed a verifier.

Feng et al. 2024 ("Beyond Model Collapse", 2406.07515). Points are x = y (mu + z) with z standard
normal in d dimensions. A generator of direction w labels them, a verifier v (a direction, or one
that knows the truth) lets some pass, and the student is fitted to n of them, by least squares or as
the mean of label times x. Only three directions differ from the rest: mu, v, and what w has beside
both. What passes has known moments there, since it follows from two correlated normal numbers,
a = w (mu + z) and b = v (mu + z); in the d - 3 others it is pure noise. A chain of d-dimensional
fits so becomes a chain of three numbers, whose mean is taken over many draws of them. For the mean
of label times x this is exact up to the central limit theorem; for least squares it is the limit of
n much larger than d, but exact in generation 0. No torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from imglab.solvable.theory.case import Case, Curve

Vector = NDArray[np.float64]
Verifier = float | Literal["none", "oracle"]

DRAWS = 1 << 14
"""Draws of the three numbers over which means are taken; their error is far below that of chains.
"""
NODES = 96
REACH = 9.0
"""Nodes of the integral over |a|, and standard deviations beyond its mean at which it ends."""


@dataclass(frozen=True)
class Passed:
    """Moments of t = label times x in three directions, among what passes, for S generators.

    mean    E t, [S, 3]
    square  E t t', [S, 3, 3]
    """

    mean: Vector
    square: Vector


def passed(w: Vector, distance: float, verifier: Verifier) -> Passed:
    """Return what passes of the labels that generators of directions w [S, 3] give.

    The axes are mu, the rest of the verifier, and the rest of w.
    """
    w = w / np.linalg.norm(w, axis=1, keepdims=True)
    v = np.array([0.0, 1.0, 0.0])
    if isinstance(verifier, float):
        v = np.array([verifier, np.sqrt(1 - verifier**2), 0.0])
    mu = np.array([distance, 0.0, 0.0])

    # x = mu + B ((a, b) - their means) + a rest that does not depend on them.
    directions = np.stack([w, np.broadcast_to(v, w.shape)], 2)  # [S, 3, 2]
    inverse = np.linalg.inv(directions.transpose(0, 2, 1) @ directions)
    loading = directions @ inverse  # B, [S, 3, 2]
    rest = np.eye(3) - loading @ directions.transpose(0, 2, 1)
    means = np.einsum("sij,i->sj", directions, mu)  # of a and b, [S, 2]
    offset = mu - np.einsum("sij,sj->si", loading, means)
    correlation = w @ v

    share = np.zeros(len(w))
    first = np.zeros((len(w), 3))
    second = np.zeros((len(w), 3, 3))
    for label in _labels(verifier):
        chance, of_pair, square = _orthant(label * means, correlation, isinstance(verifier, float))
        shifted = np.einsum("sij,sj->si", loading, of_pair)
        share += chance
        first += label * chance[:, None] * offset + shifted
        cross = label * offset[:, :, None] * shifted[:, None, :]
        second += chance[:, None, None] * (offset[:, :, None] * offset[:, None, :] + rest)
        second += cross + cross.transpose(0, 2, 1)
        second += loading @ square @ loading.transpose(0, 2, 1)

    return Passed(first / share[:, None], second / share[:, None, None])


def _labels(verifier: Verifier) -> tuple[int, ...]:
    """Return the signs of a that pass: an oracle lets those pass whose label is right."""
    if verifier == "oracle":
        return (1,)
    return (1, -1)


def _orthant(means: Vector, correlation: Vector, is_judged: bool) -> tuple[Vector, Vector, Vector]:
    """Return moments of two correlated normal numbers, of unit variance, where a > 0 and passes.

    means      of a and b, [S, 2]
    is_judged  whether b > 0 is asked for, too

    Chance [S], expectation of (a, b) [S, 2] and of (a, b)(a, b)' [S, 2, 2], where it happens.
    """
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    reach = np.maximum(means[:, :1], 0) + REACH
    a = (nodes + 1) / 2 * reach  # [S, Q]
    density = np.exp(-((a - means[:, :1]) ** 2) / 2) / np.sqrt(2 * np.pi)
    weight = weights / 2 * reach * density

    # b given a is normal; its moments where it is positive.
    centre = means[:, 1:] + correlation[:, None] * (a - means[:, :1])
    deviation = np.sqrt(1 - correlation**2)[:, None]
    chance = np.ones_like(a)
    edge = np.zeros_like(a)
    if is_judged:
        chance = ndtr(centre / deviation)
        edge = deviation * np.exp(-((centre / deviation) ** 2) / 2) / np.sqrt(2 * np.pi)
    b = centre * chance + edge
    b_square = (centre**2 + deviation**2) * chance + centre * edge

    expected = [(weight * each).sum(1) for each in (chance, a * chance, b)]
    products = [(weight * each).sum(1) for each in (a**2 * chance, a * b, a * b, b_square)]
    pair = np.stack(expected[1:], 1)
    return expected[0], pair, np.stack(products, 1).reshape(-1, 2, 2)


@dataclass(frozen=True)
class Classifiers:
    """The three numbers of many classifiers, and how they are fitted.

    d         number of dimensions
    distance  of the classes' means from 0
    squares   whether the fit is that of least squares
    """

    d: int
    distance: float
    squares: bool
    generator: np.random.Generator

    @property
    def mu(self) -> Vector:
        """The true direction in the three."""
        return np.array([self.distance, 0.0, 0.0])

    def first(self, n: int) -> Vector:
        """Return fits to n real points, of which t is N(mu, I), exactly: [S, 3].

        Least squares has the direction of S^-1 m, where m is the mean of t and S its scatter. It is
        m / |m| less a normal vector across it, over the root of a chi square of n - d + 1 degrees.
        """
        w = self._with_noise(self.mu + self._normal() / np.sqrt(n), np.full(DRAWS, 1 / n))
        if not self.squares:
            return w

        w /= np.linalg.norm(w, axis=1, keepdims=True)
        chi = self.generator.chisquare(n - self.d + 1, DRAWS)
        across = self._normal() / np.sqrt(chi)[:, None]
        across -= (across * w).sum(1, keepdims=True) * w
        return self._with_noise(w - across, 1 / chi)

    def next(self, w: Vector, verifier: Verifier, new: int, synthetic: int) -> Vector:
        """Return fits to new real points and synthetic ones that generators w [S, 3] label."""
        n = new + synthetic
        labelled = passed(w, self.distance, verifier)
        mu = self.mu
        mean = (new * mu + synthetic * labelled.mean) / n
        square = (new * (np.eye(3) + np.outer(mu, mu)) + synthetic * labelled.square) / n
        if self.squares:
            return self._least_squares(mean, square, n)

        of_labelled = labelled.square - _outer(labelled.mean)
        covariance = (new * np.eye(3) + synthetic * of_labelled) / n**2
        return self._with_noise(mean + self._normal(covariance), np.full(DRAWS, 1 / n))

    def _least_squares(self, mean: Vector, square: Vector, n: int) -> Vector:
        """Return b = (E t t')^-1 E t and its noise: 1 - b E t is what labels vary beside it."""
        inverse = np.linalg.inv(square)
        fitted = np.einsum("sij,sj->si", inverse, mean)
        variance = (1 - (fitted * mean).sum(1)) / (n - self.d - 1)
        noise = self._normal(inverse * variance[:, None, None])
        return self._with_noise(fitted + noise, variance)

    def _with_noise(self, w: Vector, variance: Vector) -> Vector:
        """Add the noise of the d - 3 other directions, of this variance [S] in each."""
        others = variance * self.generator.chisquare(self.d - 3, DRAWS)
        return np.column_stack([w[:, :2], np.sqrt(w[:, 2] ** 2 + others)])

    def _normal(self, covariance: Vector | None = None) -> Vector:
        noise = self.generator.standard_normal((DRAWS, 3))
        if covariance is None:
            return noise
        drawn: Vector = np.einsum("sij,sj->si", np.linalg.cholesky(covariance), noise)
        return drawn


def accuracies(
    of_fits: Classifiers, verifier: Verifier, real: int, parts: Iterator[tuple[int, int]]
) -> Iterator[tuple[float, float]]:
    """Yield the expected accuracy and cosine of generations 0, 1, ...

    parts  how many (new real, synthetic) points generations 1, 2, ... are trained on
    """
    w = of_fits.first(real)
    while True:
        cosine = w[:, 0] / np.linalg.norm(w, axis=1)
        yield float(ndtr(of_fits.distance * cosine).mean()), float(cosine.mean())
        w = of_fits.next(w, verifier, *next(parts))


def predict_labels(case: Case) -> dict[str, Curve]:
    """Return the expected accuracy and cosine of each generation."""
    if case.parts is None or case.composition.shared is not None:
        return {}

    data = case.data
    squares = case.model.estimator == "least_squares"
    sizes = [case.real, *(sum(pair) for pair in case.composition.parts or ((0, case.left),))]
    if squares and min(sizes) < data.dimensions + 2:
        return {}

    generator = np.random.Generator(np.random.PCG64(0))
    of_fits = Classifiers(data.dimensions, data.distance, squares, generator)
    chain = accuracies(of_fits, case.model.verifier, case.real, case.parts)
    pairs = [next(chain) for _ in range(case.generations)]
    return {
        "accuracy": [accuracy for accuracy, _ in pairs],
        "cosine": [cosine for _, cosine in pairs],
    }


def _outer(vectors: Vector) -> Vector:
    product: Vector = vectors[:, :, None] * vectors[:, None, :]
    return product
