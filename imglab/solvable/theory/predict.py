"""What theory expects of a chain, from its config alone. Read without torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, repeat
from typing import Any

from imglab.config.schema import RunConfig
from imglab.config.sections import (
    AccumulateSettings,
    AccumulateSubsampleSettings,
    FreshDataSettings,
    MixSettings,
    RealOnlySettings,
    ReplaceSettings,
    SlidingWindowSettings,
    SyntheticAugmentationSettings,
)
from imglab.solvable.categories.settings import CategoriesSettings, FrequenciesSettings
from imglab.solvable.gaussian.settings import (
    GaussianDataSettings,
    GaussianModelSettings,
    KdeSettings,
    MixtureSettings,
)
from imglab.solvable.theory.gaussian import Prediction, wasserstein_replace
from imglab.solvable.theory.moments import (
    Estimator,
    accumulated,
    accumulated_subsample,
    last_generation,
)


def predict(config: RunConfig, real: int, generations: int) -> dict[str, list[float | None]]:
    """Return the expected value of each metric that theory knows in generations 0, 1, ...; {} where it knows none.

    real         size of the real training set
    generations  how many are asked for; None stands where theory ends earlier

    The expectation is over the draw of the real data too: chains that share theirs scatter around another value.
    Every generation must draw as many as there are real samples. `variance`, `mean_error` and `heterozygosity` are
    exact (theory/moments.py), and so is `w2`, for one normal dimension under `replace`; `categories_alive` is exact up
    to 1000 draws, and beyond that within 1% as long as it is given.
    """
    if config.samples not in (None, real) or config.curate is not None:
        return {}
    modality, model = config.modality, config.model
    if isinstance(modality, GaussianDataSettings):
        return _vectors(config.regime, modality, model, real, generations)
    if isinstance(modality, CategoriesSettings) and isinstance(model, FrequenciesSettings):
        return _categories(config.regime, modality, real, generations)
    return {}


def _vectors(
    regime: Any, data: GaussianDataSettings, model: Any, n: int, generations: int
) -> dict[str, list[float | None]]:
    estimator = _estimator(model)
    moments = (
        _moments(regime, n, estimator, 1 + data.between / data.dimensions) if estimator else None
    )
    if estimator is None or moments is None:
        return {}
    fits = list(islice(moments, generations))
    found: dict[str, list[float | None]] = {
        "mean_error": [data.dimensions * fit.mean_variance for fit in fits],
        "variance": [fit.variance for fit in fits],
    }
    normal = isinstance(model, GaussianModelSettings) and data.dimensions == data.components == 1
    if normal and estimator.sampling_bias == 1 and _replaces(regime):
        found["w2"] = [wasserstein_replace(n, g + 1, estimator.ddof) for g in range(generations)]
    return found


def _categories(
    regime: Any, data: CategoriesSettings, n: int, generations: int
) -> dict[str, list[float | None]]:
    found: dict[str, list[float | None]] = {}
    frequencies = data.frequencies
    # 1 - sum p^2 is the sum over categories of the variance of belonging to them.
    moments = _moments(regime, n, Estimator(), 1 - sum(p**2 for p in frequencies))
    if moments is not None:
        found["heterozygosity"] = [fit.variance for fit in islice(moments, generations)]
    if _replaces(regime):
        alive: Iterable[float | None] = chain(_survivors(frequencies, n), repeat(None))
        found["categories_alive"] = list(islice(alive, generations))
    elif isinstance(
        regime, (RealOnlySettings, AccumulateSettings, SyntheticAugmentationSettings)
    ):  # what the real data have stays
        found["categories_alive"] = [sum(1 - (1 - p) ** n for p in frequencies)] * generations
    return found


def _estimator(model: Any) -> Estimator | None:
    if isinstance(model, GaussianModelSettings):
        return Estimator(ddof=int(model.estimator == "unbiased"), sampling_bias=model.sampling_bias)
    if isinstance(model, KdeSettings):
        return Estimator(added=model.bandwidth**2)
    return Estimator(added=model.regularization) if isinstance(model, MixtureSettings) else None


def _moments(regime: Any, n: int, estimator: Estimator, true: float) -> Iterator[Prediction] | None:
    """Return the moments of generations 0, 1, ...; None where the regime has no law here."""
    if isinstance(regime, AccumulateSettings):
        return accumulated(n, estimator, true=true)
    if isinstance(regime, AccumulateSubsampleSettings):
        return accumulated_subsample(n, estimator, true=true)
    parts = _parts(regime, n)
    return (
        None
        if parts is None
        else last_generation(n, parts, estimator, shared=_shared(regime, n), true=true)
    )


def _parts(regime: Any, n: int) -> Iterator[tuple[int, int]] | None:
    """Yield how many real samples, and how many of the last generation's, generations 1, 2, ... are trained on."""
    from imglab.regimes import augmentation_size

    if _replaces(regime):
        return repeat((0, n))
    if isinstance(regime, RealOnlySettings):
        return repeat((n, 0))
    if isinstance(regime, FreshDataSettings):
        return repeat((regime.fresh, n))
    if isinstance(regime, SyntheticAugmentationSettings):
        return repeat((n, augmentation_size(n, regime.ratio)))
    if not isinstance(regime, MixSettings):
        return None
    kept = _kept(regime, n)
    if regime.real != "fresh" and len(set(kept)) > 1:
        return None
    return ((real, n - real) for real in chain(kept, repeat(kept[-1])))


def _shared(regime: Any, n: int) -> float | None:
    """Return the covariance of the means of two generations' real parts, in real variances; None where it is 0."""
    if isinstance(regime, (SyntheticAugmentationSettings, RealOnlySettings)):
        return 1 / n
    if not isinstance(regime, MixSettings) or regime.real == "fresh":
        return None
    return 1 / (_kept(regime, n)[0] or n) if regime.real == "fixed" else 1 / n


def _kept(regime: MixSettings, n: int) -> list[int]:
    from imglab.regimes import real_share_size

    shares = (
        regime.real_fraction if isinstance(regime.real_fraction, list) else [regime.real_fraction]
    )
    return [real_share_size(n, share, 1) for share in shares]


def _replaces(regime: Any) -> bool:
    return isinstance(regime, ReplaceSettings) or (
        isinstance(regime, SlidingWindowSettings) and regime.window == 1
    )


def _survivors(frequencies: Sequence[float], n: int) -> Iterator[float]:
    import torch

    from imglab.solvable.theory.categories import EXACT, RARE, surviving_categories, survivors

    probabilities = torch.tensor(frequencies, dtype=torch.float64)
    if n <= EXACT:
        return survivors(probabilities, n)
    return (surviving_categories(probabilities, n, t) for t in range(1, n // RARE + 1))
