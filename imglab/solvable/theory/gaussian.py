"""What repeated refitting does to a normal distribution, exactly.

Real variance 1, one dimension (each coordinate of a multivariate fit is such a chain); `n` samples per generation;
`t` counts fits, so generation g is t = g + 1 and generation 0's own finite-sample fit is t = 1. MLE divides the
variance by n, the unbiased estimator by n - 1: two different theorems.
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
    """Each fit sees only the last one's draws: E s^2 = ((n-1)/n)^t, Var mu = 1 - ((n-1)/n)^t."""
    kept = ((n - 1) / n) ** t
    return Prediction(kept, 1 - kept)


def replace_unbiased(n: int, t: int, sampling_bias: float = 1.0) -> Prediction:
    """Shumailov et al. 2024, theorem 3.1: E s^2 = 1 yet s^2 -> 0 almost surely, Var mu = t / n.

    With draws from N(mu, lambda s^2): E s^2 = lambda^(t-1), Var mu = (1/n) (1 - lambda^t) / (1 - lambda).
    """
    if sampling_bias == 1:
        return Prediction(1.0, t / n)
    spread = (1 - sampling_bias**t) / (1 - sampling_bias) / n
    return Prediction(sampling_bias ** (t - 1), spread)


def log_variance(n: int, t: int, ddof: int = 0) -> float:
    """E ln s_t^2 under replace: t [psi((n-1)/2) + ln(2 / (n - ddof))]; ddof 0 is MLE, 1 unbiased."""
    from scipy.special import digamma

    return t * (float(digamma((n - 1) / 2)) + math.log(2 / (n - ddof)))


def wasserstein_replace(n: int, t: int, ddof: int = 0) -> float:
    """E W2^2 between the t-th fit and the truth: 2 (1 - c^t) for MLE, 2 + t/n - 2 c^t for the unbiased estimator.

    c = sqrt(2 / (n - ddof)) Gamma(n/2) / Gamma((n-1)/2).
    """
    c = math.sqrt(2 / (n - ddof)) * math.exp(math.lgamma(n / 2) - math.lgamma((n - 1) / 2))
    return 2 * (1 - c**t) if ddof == 0 else 2 + t / n - 2 * c**t


def accumulate_mle(n: int, t: int) -> Prediction:
    """All draws so far are kept (Gerstgrasser et al. 2024): E s^2 = prod_{k<=t} (1 - 1/(n k^2)), Var mu = 1 - E s^2.

    Bounded for ever: the product tends to sin(pi / sqrt n) / (pi / sqrt n).
    """
    kept = math.prod(1 - 1 / (n * k**2) for k in range(1, t + 1))
    return Prediction(kept, 1 - kept)


def accumulate_limit(n: int) -> float:
    """The limit of `accumulate_mle(n, t).variance` as t grows."""
    angle = math.pi / math.sqrt(n)
    return math.sin(angle) / angle


def accumulate_subsample_mle(n: int, t: int) -> Prediction:
    """N are drawn without replacement from all draws so far (Kazdan et al. 2024), N = t n of them.

    With M_1 = 1/n and 1 - M_{k+1} = (1 - M_k) [1 - N/(N-1) ((1 - 1/k) + (1 - 1/n)) / (n (k+1)^2)], N = k n, the
    expected variance is (1 - 1/n) N/(N-1) (1 - M_t), N = t n.
    """
    unseen = 1 - 1 / n
    for k in range(1, t):
        pool = k * n
        unseen *= 1 - pool / (pool - 1) * ((1 - 1 / k) + (1 - 1 / n)) / (n * (k + 1) ** 2)
    pool = t * n
    variance = (1 - 1 / n) * pool / (pool - 1) * unseen
    return Prediction(variance, 1 - variance)


def fresh_mix_mle(n: int, t: int, real_fraction: float) -> Prediction:
    """A share alpha of each training set is fresh real data, the rest the last generation's.

    Var mu_1 = 1/n, Var mu_{t+1} = alpha/n + (1-alpha)^2 Var mu_t + (1-alpha) E s_t^2 / n, and E s^2 = 1 - Var mu, since
    the expected second moment stays 1. `alpha n` must be whole.
    """
    alpha, spread = real_fraction, 1 / n
    for _ in range(1, t):
        spread = alpha / n + (1 - alpha) ** 2 * spread + (1 - alpha) * (1 - spread) / n
    return Prediction(1 - spread, spread)


def augmentation_mean_variance(n: int, ratio: float) -> float:
    """Fixed real n plus lambda n of the last generation's draws: Var mu -> (1 + lambda / (1 + 2 lambda)) / n, n large.

    At most 1.5 / n, whatever lambda is: the real data hold the chain.
    """
    return (1 + ratio / (1 + 2 * ratio)) / n


def fresh_mix_limit(n: int, real_fraction: float) -> Prediction:
    """Where `fresh_mix_mle` settles: Var mu = 1/D, D = 1 - alpha + alpha n (2 - alpha)."""
    spread = 1 / (1 - real_fraction + real_fraction * n * (2 - real_fraction))
    return Prediction(1 - spread, spread)
