"""What theory expects of a chain, from its config alone. It is read without torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, repeat
from typing import Any

from imglab.config import kinds
from imglab.config.schema import RunConfig
from imglab.config.section import PlugIn
from imglab.regimes.composition import Composition
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

Curve = list[float | None]
"""A value for each of generations 0, 1, ...; None where theory gives none."""


def predict(config: RunConfig, real: int, generations: int) -> dict[str, Curve]:
    """Return the expected value of each metric that theory knows in generations 0, 1, ...

    The result is empty where theory knows nothing, and a curve ends in None where theory ends
    earlier than the chain. Every generation must draw as many samples as there are real ones.

    The expectation is over the draw of the real data, too: chains that share theirs scatter around
    another value. `variance`, `mean_error` and `heterozygosity` are exact (moments.py), and so is
    `w2`, for one normal dimension under `replace`. `categories_alive` is exact up to 1000 draws;
    beyond that it is within 1% for as many generations as it is given.

    real         size of the real training set
    generations  how many generations to predict
    """
    if config.samples not in (None, real) or config.curate is not None:
        return {}
    if isinstance(config.regime, PlugIn):
        return {}  # reading a run imports no code of other packages

    composition = kinds.bound_regime(config.regime).composition(real)
    if composition is None:
        return {}

    data = config.modality
    if isinstance(data, GaussianDataSettings):
        return _vectors(composition, data, config.model, real, generations)
    if isinstance(data, CategoriesSettings) and isinstance(config.model, FrequenciesSettings):
        return _categories(composition, data, real, generations)
    return {}


def _vectors(
    composition: Composition, data: GaussianDataSettings, model: Any, n: int, generations: int
) -> dict[str, Curve]:
    estimator = _estimator(model)
    if estimator is None:
        return {}

    true_variance = 1 + data.between / data.dimensions
    fits = list(islice(_moments(composition, n, estimator, true_variance), generations))
    curves: dict[str, Curve] = {
        "mean_error": [data.dimensions * fit.mean_variance for fit in fits],
        "variance": [fit.variance for fit in fits],
    }

    # The distance needs the whole distribution to be known, not only its moments.
    normal = isinstance(model, GaussianModelSettings) and data.dimensions == data.components == 1
    if normal and estimator.sampling_bias == 1 and composition.trains_on == "last":
        fit_numbers = range(1, generations + 1)
        curves["w2"] = [wasserstein_replace(n, t, estimator.ddof) for t in fit_numbers]
    return curves


def _categories(
    composition: Composition, data: CategoriesSettings, n: int, generations: int
) -> dict[str, Curve]:
    frequencies = data.frequencies

    # 1 - sum p^2 is the sum over categories of the variance of belonging to them.
    true_variance = 1 - sum(p**2 for p in frequencies)
    fits = islice(_moments(composition, n, Estimator(), true_variance), generations)
    curves: dict[str, Curve] = {"heterozygosity": [fit.variance for fit in fits]}

    if composition.trains_on == "last":
        alive: Iterable[float | None] = chain(_survivors(frequencies, n), repeat(None))
        curves["categories_alive"] = list(islice(alive, generations))
    elif composition.keeps_real:
        # What the real data contain stays.
        in_real_data = sum(1 - (1 - p) ** n for p in frequencies)
        curves["categories_alive"] = [in_real_data] * generations
    return curves


def _estimator(model: Any) -> Estimator | None:
    """Return how a model's fit follows from its training set; None where that is not known."""
    if isinstance(model, GaussianModelSettings):
        return Estimator(ddof=int(model.estimator == "unbiased"), sampling_bias=model.sampling_bias)
    if isinstance(model, KdeSettings):
        return Estimator(added=model.bandwidth**2)
    if isinstance(model, MixtureSettings):
        return Estimator(added=model.regularization)
    return None


def _moments(
    composition: Composition, n: int, estimator: Estimator, true: float
) -> Iterator[Prediction]:
    """Yield the moments of generations 0, 1, ...; `true` is the variance of the real data."""
    if composition.trains_on == "all":
        return accumulated(n, estimator, true=true)
    if composition.trains_on == "subsample":
        return accumulated_subsample(n, estimator, true=true)
    if composition.trains_on == "last":
        return last_generation(n, repeat((0, n)), estimator, true=true)

    parts = chain(composition.parts, repeat(composition.parts[-1]))
    return last_generation(n, parts, estimator, shared=composition.shared, true=true)


def _survivors(frequencies: Sequence[float], n: int) -> Iterator[float]:
    """Yield the expected number of categories left in generations 0, 1, ..., while it is known."""
    import torch

    from imglab.solvable.theory.categories import EXACT, RARE, surviving_categories, survivors

    probabilities = torch.tensor(frequencies, dtype=torch.float64)
    if n <= EXACT:
        return survivors(probabilities, n)
    return (surviving_categories(probabilities, n, t) for t in range(1, n // RARE + 1))
