"""What becomes of frequencies if users keep one of K draws, by its reward.

Ferbach et al. 2024 (2407.09499). Of K draws from p one is kept, x with a chance in
proportion to e^r(x). What is kept has the frequencies

    H(p)(x) = p(x) E[ K e^r(x) / (e^r(x) + sum_{k<K} e^r(x_k)) ],

which tends to p(x) e^r(x) / sum p e^r as K grows. No torch.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from imglab.solvable.theory.case import Case, Curve

Vector = NDArray[np.float64]

NODES = 400
"""Nodes of the integral over s, on a logarithmic scale."""


def tilted(p: Vector, rewards: Vector) -> Vector:
    """Return p e^r / sum p e^r, the frequencies of what is kept of endlessly many draws."""
    weights: Vector = p * np.exp(rewards)
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def kept_frequencies(p: Vector, rewards: Vector, choices: int) -> Vector:
    """Return H(p) [.., K], the frequencies of what is kept of so many draws from p [.., K].

    Since 1/a is the integral of e^(-s a) over s > 0, the expectation over the other draws is
    choices e^r(x) times the integral of e^(-s e^r(x)) (sum_y p(y) e^(-s e^r(y)))^(choices - 1).
    """
    weights = np.exp(rewards - rewards.max())
    log_s, step = np.linspace(-40, 5 - float(np.log(weights.min())), NODES, retstep=True)
    s = np.exp(log_s)

    decay = np.exp(-s[:, None] * weights)  # [S, K]
    others = (p @ decay.T) ** (choices - 1)  # [.., S]
    share: Vector = p * choices * weights * ((others * s) @ decay) * step
    return share


def expectations(
    p: Vector, rewards: Vector, choices: int, n: int, parts: Iterator[tuple[int, int]]
) -> Iterator[tuple[Vector, Vector]]:
    """Yield mean [K] and covariance [K, K] of the fitted frequencies of generations 0, 1, ...

    parts  how many (new real, synthetic) samples generations 1, 2, ... are trained on

    The mean of H(p) over the scatter of p is taken at points that lie symmetrically around the
    mean of p and have its covariance, so that the error is of the order n^-2.
    """
    mean = p
    covariance = _scatter(p) / n
    yield mean, covariance

    for real, synthetic in parts:
        values = kept_frequencies(_points(mean, covariance), rewards, choices)  # [2 K, K]
        drawn = values.mean(0)
        spread = np.cov(values.T, bias=True)

        b = synthetic / (real + synthetic)
        mean = (1 - b) * p + b * drawn
        scatter = real * _scatter(p) + synthetic * (_scatter(drawn) - spread)
        covariance = b**2 * spread + scatter / (real + synthetic) ** 2
        yield mean, covariance


def predict_preferences(case: Case) -> dict[str, Curve]:
    """Return the expected mean reward and heterozygosity of each generation."""
    p = np.array(case.data.frequencies)
    rewards = np.array(case.model.rewards(len(p)))
    if case.parts is None or case.composition.shared is not None:
        return {}

    reward: list[float] = []
    heterozygosity: list[float] = []
    fits = expectations(p, rewards, case.model.choices, case.real, case.parts)
    for _, (mean, covariance) in zip(range(case.generations), fits, strict=False):
        reward.append(float(mean @ rewards))
        heterozygosity.append(float(1 - mean @ mean - covariance.trace()))
    return {"mean_reward": [*reward], "heterozygosity": [*heterozygosity]}


def _scatter(p: Vector) -> Vector:
    """Return the covariance of one draw from p, as a one-hot vector."""
    return np.diag(p) - np.outer(p, p)


def _points(mean: Vector, covariance: Vector) -> Vector:
    """Return 2 K points [2 K, K] of this mean and covariance."""
    values, vectors = np.linalg.eigh(covariance)
    steps = (vectors * np.sqrt(values.clip(min=0) * len(mean))).T
    return np.concatenate([mean + steps, mean - steps])
