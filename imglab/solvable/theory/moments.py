"""What repeated refitting does to the first two moments, exactly, if the fit is linear in them.

There is one dimension; the mean over dimensions follows the same law, since all steps are linear.
A model fitted to N samples of variance s^2 (divided by N) has their mean and the variance
V = s^2 N / (N - ddof) + added, and draws with variance lambda V. With M_t = Var mu_t (the true mean
is 0) and D = lambda V, each regime is a recursion of expectations: E s^2 is the second moment of
the training set less M. There are `n` samples per generation; the t-th result is that of generation
t - 1. Nothing is assumed about the shape of the distributions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count

from imglab.solvable.theory.gaussian import Prediction


@dataclass(frozen=True)
class Estimator:
    """How a model's variance follows from that of its training set, and how it draws.

    ddof           the variance is divided by N - ddof
    added          variance on top of it: h^2 of a kernel, the regularization of a mixture
    sampling_bias  lambda: draws have lambda times the fitted variance
    """

    ddof: int = 0
    added: float = 0.0
    sampling_bias: float = 1.0

    def fit(self, size: int, second_moment: float, mean_variance: float) -> Prediction:
        """Return what is fitted to `size` samples with these expected moments."""
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
    """Yield the moments of generations that train on real data and on the last generation's draws.

    parts   how many real and how many synthetic samples generations 1, 2, ... train on
    true    the real variance
    shared  what two generations' real parts have in common: the covariance of their means in units
            of the real variance. None: nothing, they are fresh; 1/k if all have the same k samples;
            1/n if each has another k of the same n. In the last two cases k must stay the same.

    C_t is the covariance of mu_t with the mean of the real part to come: C_1 = 1/n and
    C_t = a shared + (1-a) C_{t-1}. For k real and s synthetic samples and a = k/(k+s),
    M_t = a^2/k + (1-a)^2 (M_{t-1} + D_{t-1}/s) + 2 a (1-a) C_{t-1}.
    """
    covariance = 0.0 if shared is None else true / n
    fitted = estimator.fit(n, true, true / n)
    yield fitted

    for real, synthetic in parts:
        size = real + synthetic
        a = real / size
        b = synthetic / size
        drawn = estimator.sampling_bias * fitted.variance

        # Real part, mean of the last fit, noise of its draws, and what the real parts share.
        spread = (
            a * true / size
            + b**2 * fitted.mean_variance
            + b * drawn / size
            + 2 * a * b * covariance
        )
        if shared is not None:
            covariance = a * shared * true + b * covariance

        fitted = estimator.fit(size, a * true + b * (fitted.mean_variance + drawn), spread)
        yield fitted


def accumulated(n: int, estimator: Estimator, *, true: float = 1.0) -> Iterator[Prediction]:
    """Yield the moments of generations that train on all draws so far.

    M_{t+1} = M_t + D_t / (n (t+1)^2), and the second moment is
    Q_{t+1} = Q_t + (M_t + D_t - Q_t) / (t+1).
    """
    spread = true / n
    second = true
    for t in count(1):
        fitted = estimator.fit(t * n, second, spread)
        yield fitted

        drawn = estimator.sampling_bias * fitted.variance
        second += (spread + drawn - second) / (t + 1)
        spread += drawn / (n * (t + 1) ** 2)


def accumulated_subsample(
    n: int, estimator: Estimator, *, true: float = 1.0
) -> Iterator[Prediction]:
    """Yield the moments of generations that train on n of the N = t n draws so far.

    They are drawn without replacement, so that their mean varies by W (N-n) / (n (N-1)) more than
    the pool's. W is the pool's variance, and P that of its mean:
    P_{t+1} = P_t + (W_t (N-n) / (n (N-1)) + D_t/n) / (t+1)^2.
    """
    pooled = true / n
    second = true
    for t in count(1):
        beyond = (second - pooled) * (t - 1) / (t * n - 1)
        fitted = estimator.fit(n, second, pooled + beyond)
        yield fitted

        drawn = estimator.sampling_bias * fitted.variance
        second += (fitted.mean_variance + drawn - second) / (t + 1)
        pooled += (beyond + drawn / n) / (t + 1) ** 2
