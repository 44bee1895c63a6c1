"""What repeated refitting does to the first two moments, for any model whose fit is linear in them.

The results are exact, in one dimension; the mean over dimensions follows the same law, since all
steps are linear. A model fitted to N samples of variance s^2 (divided by N) has their mean and the
variance V = s^2 N / (N - ddof) + added, and draws with variance lambda V. With M_t = Var mu_t (the
true mean is 0) and D = lambda V, each regime is a recursion of expectations: E s^2 is the second
moment of the training set less M. `n` is the number of samples per generation, and the t-th result
is of generation t - 1. Nothing is assumed about the shape of the distributions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from imglab.solvable.theory.case import Case
from imglab.solvable.theory.gaussian import Prediction


class Fit(Protocol):
    """How a model's moments follow from those of its training set."""

    @property
    def sampling_bias(self) -> float:
        """Factor by which the variance of draws differs from the fitted one."""
        ...

    def fit(self, size: int, second_moment: float, mean_variance: float) -> Prediction:
        """Return what is fitted to `size` samples with these expectations."""
        ...


@dataclass(frozen=True)
class Estimator:
    """How a model's variance follows from its training set's, and how it draws.

    ddof           the variance is divided by N - ddof
    added          variance on top: h^2 of a kernel, the regularization of a mixture
    sampling_bias  lambda: draws have lambda times the fitted variance
    """

    ddof: int = 0
    added: float = 0.0
    sampling_bias: float = 1.0

    def fit(self, size: int, second_moment: float, mean_variance: float) -> Prediction:
        """Return what is fitted to `size` samples with these expectations."""
        variance = (second_moment - mean_variance) * size / (size - self.ddof) + self.added
        return Prediction(variance, mean_variance)


def last_generation(
    n: int,
    parts: Iterable[tuple[int, int]],
    estimator: Fit,
    *,
    shared: float | None = None,
    weight: float | None = None,
    true: float = 1.0,
) -> Iterator[Prediction]:
    """Train on real data and the last generation's draws.

    parts   how many (real, synthetic) samples generations 1, 2, ... are trained on
    true    the real variance
    shared  what two generations' real parts have in common: the covariance of their means, in real
            variances. None: nothing, they are fresh; 1/k where all have the same k samples; 1/n
            where each has another k of the same n. In the last two cases k must stay the same.
    weight  share of the loss that the real part has where there are both; None: its share of the
            samples. Only for an estimator with ddof 0

    C_t is the covariance of mu_t with the mean of the real part to come: C_1 = 1/n,
    C_t = a shared + (1-a) C_{t-1}, and M_t = a^2/k + (1-a)^2 (M_{t-1} + D_{t-1}/s)
    + 2 a (1-a) C_{t-1} for k real and s synthetic samples, with a = k/(k+s), or the weight.
    """
    covariance = 0.0  # C_t
    if shared is not None:
        covariance = true / n
    fitted = estimator.fit(n, true, true / n)
    yield fitted

    for real, synthetic in parts:
        mix = _Mixture(real, synthetic, weight)
        drawn = estimator.sampling_bias * fitted.variance  # D_{t-1}

        mean_variance = mix.mean_variance(fitted.mean_variance, drawn, covariance, true)
        second_moment = mix.a * true + mix.b * (fitted.mean_variance + drawn)
        if shared is not None:
            covariance = mix.a * shared * true + mix.b * covariance
        fitted = estimator.fit(real + synthetic, second_moment, mean_variance)
        yield fitted


@dataclass(frozen=True)
class _Mixture:
    """A training set of real and synthetic samples, and `weight` as in `last_generation`."""

    real: int
    synthetic: int
    weight: float | None

    @property
    def a(self) -> float:
        """Share of the loss that the real part has."""
        if self.weight is not None and self.real and self.synthetic:
            return self.weight
        return self.real / (self.real + self.synthetic)

    @property
    def b(self) -> float:
        """Share of the loss that the synthetic part has."""
        return 1 - self.a

    def mean_variance(self, last: float, drawn: float, covariance: float, true: float) -> float:
        """Return M_t from M_{t-1}, D_{t-1} and C_{t-1}."""
        mean_variance = self.b**2 * last + 2 * self.a * self.b * covariance
        if self.real:
            mean_variance += self.a**2 * true / self.real
        if self.synthetic:
            mean_variance += self.b**2 * drawn / self.synthetic
        return mean_variance


def accumulated(n: int, estimator: Fit, *, true: float = 1.0) -> Iterator[Prediction]:
    """Train on all draws so far: M_{t+1} = M_t + D_t / (n (t+1)^2).

    The second moment is Q_{t+1} = Q_t + (M_t + D_t - Q_t) / (t+1).
    """
    mean_variance = true / n  # M_t
    second_moment = true  # Q_t

    for t in count(1):
        fitted = estimator.fit(t * n, second_moment, mean_variance)
        yield fitted

        drawn = estimator.sampling_bias * fitted.variance  # D_t
        second_moment += (mean_variance + drawn - second_moment) / (t + 1)
        mean_variance += drawn / (n * (t + 1) ** 2)


def accumulated_subsample(n: int, estimator: Fit, *, true: float = 1.0) -> Iterator[Prediction]:
    """Train on n of the N = t n draws so far, without replacement.

    The subsample's mean varies by W (N-n) / (n (N-1)) more than the pool's, where W is the pool's
    variance. P is the variance of the pool's mean:
    P_{t+1} = P_t + (W_t (N-n) / (n (N-1)) + D_t/n) / (t+1)^2.
    """
    pool_mean_variance = true / n  # P_t
    second_moment = true

    for t in count(1):
        added = (second_moment - pool_mean_variance) * (t - 1) / (t * n - 1)
        fitted = estimator.fit(n, second_moment, pool_mean_variance + added)
        yield fitted

        drawn = estimator.sampling_bias * fitted.variance  # D_t
        second_moment += (fitted.mean_variance + drawn - second_moment) / (t + 1)
        pool_mean_variance += (added + drawn / n) / (t + 1) ** 2


def moments(case: Case, estimator: Fit, true: float) -> Iterator[Prediction]:
    """Yield the moments of generations 0, 1, ... of an even chain.

    true  the variance of the real data
    """
    n = case.real
    if case.composition.trains_on == "all":
        return accumulated(n, estimator, true=true)
    if case.composition.trains_on == "subsample":
        return accumulated_subsample(n, estimator, true=true)
    shared = case.composition.shared
    parts = case.parts or ()
    return last_generation(n, parts, estimator, shared=shared, weight=case.weight, true=true)
