"""What repeated refitting does to the first two moments, exactly, for any model whose fit is linear in them.

One dimension; the mean over dimensions follows the same law, since all steps are linear. A model fitted to N samples
of variance s^2 (divided by N) has their mean and the variance V = s^2 N / (N - ddof) + added, and draws with variance
lambda V. With M_t = Var mu_t (the true mean is 0) and D = lambda V, each regime is a recursion of expectations:
E s^2 is the second moment of the training set less M. `n` samples per generation; the t-th result is of generation
t - 1. Nothing is assumed of the shape of the distributions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count

from imglab.solvable.theory.gaussian import Prediction


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
    estimator: Estimator,
    *,
    shared: float | None = None,
    true: float = 1.0,
) -> Iterator[Prediction]:
    """Train on real data and the last generation's draws: `parts` gives (real, synthetic) of generations 1, 2, ...

    true    the real variance
    shared  what two generations' real parts have in common: the covariance of their means, in real variances.
            None: nothing, they are fresh; 1/k where all have the same k samples; 1/n where each has other k of the
            same n. In the last two cases k must stay the same.

    C_t is the covariance of mu_t with the mean of the real part to come: C_1 = 1/n, C_t = a shared + (1-a) C_{t-1},
    and M_t = a^2/k + (1-a)^2 (M_{t-1} + D_{t-1}/s) + 2 a (1-a) C_{t-1} for k real and s synthetic samples, a = k/(k+s).
    """
    common = 0.0 if shared is None else true / n
    fitted = estimator.fit(n, true, true / n)
    yield fitted
    for real, synthetic in parts:
        size = real + synthetic
        a, b = real / size, synthetic / size
        drawn = estimator.sampling_bias * fitted.variance
        spread = (
            a * true / size + b**2 * fitted.mean_variance + b * drawn / size + 2 * a * b * common
        )
        common = 0.0 if shared is None else a * shared * true + b * common
        fitted = estimator.fit(size, a * true + b * (fitted.mean_variance + drawn), spread)
        yield fitted


def accumulated(n: int, estimator: Estimator, *, true: float = 1.0) -> Iterator[Prediction]:
    """Train on all draws so far: M_{t+1} = M_t + D_t / (n (t+1)^2).

    The second moment is Q_{t+1} = Q_t + (M_t + D_t - Q_t) / (t+1).
    """
    spread, second = true / n, true
    for t in count(1):
        fitted = estimator.fit(t * n, second, spread)
        yield fitted
        drawn = estimator.sampling_bias * fitted.variance
        second += (spread + drawn - second) / (t + 1)
        spread += drawn / (n * (t + 1) ** 2)


def accumulated_subsample(
    n: int, estimator: Estimator, *, true: float = 1.0
) -> Iterator[Prediction]:
    """Train on n of the N = t n draws so far, without replacement: their mean varies by W (N-n) / (n (N-1)) more.

    W is the pool's variance, P that of its mean: P_{t+1} = P_t + (W_t (N-n) / (n (N-1)) + D_t/n) / (t+1)^2.
    """
    pooled, second = true / n, true
    for t in count(1):
        beyond = (second - pooled) * (t - 1) / (t * n - 1)
        fitted = estimator.fit(n, second, pooled + beyond)
        yield fitted
        drawn = estimator.sampling_bias * fitted.variance
        second += (fitted.mean_variance + drawn - second) / (t + 1)
        pooled += (beyond + drawn / n) / (t + 1) ** 2
