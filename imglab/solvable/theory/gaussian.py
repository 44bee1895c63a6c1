"""What repeated refitting does to a normal distribution, exactly.

The real variance is 1, in one dimension (each coordinate of a multivariate fit is such a chain).
`n` is the number of samples per generation. `t` counts fits, so generation g is t = g + 1, and
generation 0's own finite-sample fit is t = 1. MLE divides the variance by n, the unbiased estimator
by n - 1: these are two different theorems.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Prediction:
    """Expected fitted variance E s_t^2, and the variance of the fitted mean Var mu_t."""

    variance: float
    mean_variance: float


def replace_mle(n: int, t: int) -> Prediction:
    """Predict fits to the last fit's draws alone.

    E s^2 = ((n-1)/n)^t, Var mu = 1 - ((n-1)/n)^t.
    """
    variance = ((n - 1) / n) ** t
    return Prediction(variance, 1 - variance)


def replace_unbiased(n: int, t: int, sampling_bias: float = 1.0) -> Prediction:
    """Predict unbiased fits to the last fit's draws alone (Shumailov et al. 2024, theorem 3.1).

    E s^2 = 1, yet s^2 -> 0 almost surely; Var mu = t / n. With draws from N(mu, lambda s^2):
    E s^2 = lambda^(t-1), Var mu = (1/n) (1 - lambda^t) / (1 - lambda).
    """
    if sampling_bias == 1:
        return Prediction(1.0, t / n)
    mean_variance = (1 - sampling_bias**t) / (1 - sampling_bias) / n
    return Prediction(sampling_bias ** (t - 1), mean_variance)


def log_variance(n: int, t: int, ddof: int = 0) -> float:
    """Return E ln s_t^2 under `replace`: t [psi((n-1)/2) + ln(2 / (n - ddof))].

    ddof  0 for MLE, 1 for the unbiased estimator
    """
    from scipy.special import digamma

    return t * (float(digamma((n - 1) / 2)) + math.log(2 / (n - ddof)))


def wasserstein_replace(n: int, t: int, ddof: int = 0) -> float:
    """Return E W2^2 between the t-th fit and the truth under `replace`.

    It is 2 (1 - c^t) for MLE (ddof 0) and 2 + t/n - 2 c^t for the unbiased estimator (ddof 1), with
    c = sqrt(2 / (n - ddof)) Gamma(n/2) / Gamma((n-1)/2).
    """
    c = math.sqrt(2 / (n - ddof)) * math.exp(math.lgamma(n / 2) - math.lgamma((n - 1) / 2))
    if ddof == 0:
        return 2 * (1 - c**t)
    return 2 + t / n - 2 * c**t


def accumulate_mle(n: int, t: int) -> Prediction:
    """Predict fits to all draws so far (Gerstgrasser et al. 2024).

    E s^2 = prod_{k<=t} (1 - 1/(n k^2)), Var mu = 1 - E s^2. It stays bounded for ever: the product
    tends to sin(pi / sqrt n) / (pi / sqrt n).
    """
    variance = math.prod(1 - 1 / (n * k**2) for k in range(1, t + 1))
    return Prediction(variance, 1 - variance)


def accumulate_limit(n: int) -> float:
    """Return the limit of `accumulate_mle(n, t).variance` as t grows."""
    angle = math.pi / math.sqrt(n)
    return math.sin(angle) / angle


def accumulate_subsample_mle(n: int, t: int) -> Prediction:
    """Predict fits to n of all t n draws so far, without replacement (Kazdan et al. 2024).

    With M_1 = 1/n and 1 - M_{k+1} = (1 - M_k) [1 - N/(N-1) ((1 - 1/k) + (1 - 1/n)) / (n (k+1)^2)],
    N = k n, the expected variance is (1 - 1/n) N/(N-1) (1 - M_t), N = t n.
    """
    remaining = 1 - 1 / n  # 1 - M_k
    for k in range(1, t):
        pool = k * n
        remaining *= 1 - pool / (pool - 1) * ((1 - 1 / k) + (1 - 1 / n)) / (n * (k + 1) ** 2)

    pool = t * n
    variance = (1 - 1 / n) * pool / (pool - 1) * remaining
    return Prediction(variance, 1 - variance)


def fresh_mix_mle(n: int, t: int, real_fraction: float) -> Prediction:
    """Predict fits to a share alpha of fresh real data and the last fit's draws for the rest.

    Var mu_1 = 1/n, Var mu_{t+1} = alpha/n + (1-alpha)^2 Var mu_t + (1-alpha) E s_t^2 / n, and
    E s^2 = 1 - Var mu, since the expected second moment stays 1. `alpha n` must be whole.
    """
    alpha = real_fraction
    mean_variance = 1 / n
    for _ in range(1, t):
        mean_variance = (
            alpha / n + (1 - alpha) ** 2 * mean_variance + (1 - alpha) * (1 - mean_variance) / n
        )
    return Prediction(1 - mean_variance, mean_variance)


def augmentation_mean_variance(n: int, ratio: float) -> float:
    """Return the limit of Var mu for fits to n fixed real data and lambda n of the last draws.

    Var mu -> (1 + lambda / (1 + 2 lambda)) / n for large n. It is at most 1.5 / n, whatever lambda
    is: the real data hold the chain.
    """
    return (1 + ratio / (1 + 2 * ratio)) / n


def fresh_mix_limit(n: int, real_fraction: float) -> Prediction:
    """Return the limit of `fresh_mix_mle`: Var mu = 1/D, D = 1 - alpha + alpha n (2 - alpha)."""
    mean_variance = 1 / (1 - real_fraction + real_fraction * n * (2 - real_fraction))
    return Prediction(1 - mean_variance, mean_variance)
