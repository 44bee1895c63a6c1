"""What theory expects of a chain, from its config alone. It is read without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from imglab.config import kinds
from imglab.config.remedy_sections import WeightsRemedy
from imglab.config.schema import RunConfig
from imglab.config.section import PlugIn
from imglab.solvable.categories.settings import (
    CategoriesSettings,
    FrequenciesSettings,
    MemorizerSettings,
    PreferencesSettings,
)
from imglab.solvable.counts.settings import CountsSettings, RateSettings
from imglab.solvable.gaussian.settings import (
    GaussianDataSettings,
    GaussianModelSettings,
    KdeSettings,
    MixtureSettings,
    StoppedDiffusionSettings,
)
from imglab.solvable.labels.settings import LabellerSettings, LabelsSettings
from imglab.solvable.regression.settings import RegressionDataSettings, RidgeSettings
from imglab.solvable.theory.case import Case, Curve
from imglab.solvable.theory.counts import predict_counts
from imglab.solvable.theory.diffusion import predict_stopped_diffusion
from imglab.solvable.theory.gaussian import wasserstein_replace
from imglab.solvable.theory.labels import predict_labels
from imglab.solvable.theory.memory import predict_memorizer
from imglab.solvable.theory.moments import Estimator, moments
from imglab.solvable.theory.preferences import predict_preferences
from imglab.solvable.theory.regression import predict_regression

Law = Callable[[Case], dict[str, Curve]]


def predict(config: RunConfig, real: int, generations: int) -> dict[str, Curve]:
    """Return the expected value of each metric that theory knows in generations 0, 1, ...

    The result is empty where theory knows nothing, and a curve ends in None where theory ends
    earlier than the chain. Most laws ask that every generation draws as many samples as there are
    real ones.

    The expectation is over the draw of the real data, too: chains that share theirs scatter around
    another value. `variance`, `mean_error` and `heterozygosity` are exact (moments.py), and so is
    `w2`, for one normal dimension under `replace`. `categories_alive` is exact up to 1000 draws;
    beyond that it is within 1% for as many generations as it is given.

    real         size of the real training set
    generations  how many generations to predict
    """
    law = LAWS.get((type(config.modality), type(config.model)))
    if law is None or config.curate is not None or isinstance(config.regime, PlugIn):
        return {}  # reading a run imports no code of other packages

    left = config.samples or real
    composition = kinds.bound_regime(config.regime).composition(left)
    if composition is None:
        return {}
    case = Case(config.modality, config.model, composition, real, left, generations)
    if not config.remedy:
        return law(case)
    return _remedied(law, case, config.remedy)


def _remedied(law: Law, case: Case, remedies: Sequence[Any]) -> dict[str, Curve]:
    """Return what a law says of a chain with remedies: only loss weights have a closed form."""
    remedy = remedies[0]
    weighs = len(remedies) == 1 and isinstance(remedy, WeightsRemedy) and remedy.first <= 1
    estimator = _estimator(case.model)
    follows = law == _categories or (law == _vectors and estimator is not None)
    if not (weighs and follows) or case.parts is None:
        return {}
    if isinstance(case.model, MixtureSettings) or (estimator is not None and estimator.ddof):
        return {}
    return law(replace(case, weight=remedy.real))


def _vectors(case: Case) -> dict[str, Curve]:
    estimator = _estimator(case.model)
    if estimator is None or not case.is_even:
        return {}

    data: GaussianDataSettings = case.data
    n = case.real
    true_variance = 1 + data.between / data.dimensions
    fits = list(islice(moments(case, estimator, true_variance), case.generations))
    curves: dict[str, Curve] = {
        "mean_error": [data.dimensions * fit.mean_variance for fit in fits],
        "variance": [fit.variance for fit in fits],
    }

    # The distance needs the whole distribution to be known, not only its moments.
    one_normal = data.dimensions == data.components == 1
    normal = isinstance(case.model, GaussianModelSettings) and one_normal
    if normal and estimator.sampling_bias == 1 and case.composition.trains_on == "last":
        fit_numbers = range(1, case.generations + 1)
        curves["w2"] = [wasserstein_replace(n, t, estimator.ddof) for t in fit_numbers]
    return curves


def _categories(case: Case) -> dict[str, Curve]:
    if not case.is_even:
        return {}

    frequencies: list[float] = case.data.frequencies
    n = case.real

    # 1 - sum p^2 is the sum over categories of the variance of belonging to them.
    true_variance = 1 - sum(p**2 for p in frequencies)
    fits = islice(moments(case, Estimator(), true_variance), case.generations)
    curves: dict[str, Curve] = {"heterozygosity": [fit.variance for fit in fits]}

    if case.composition.trains_on == "last":
        curves["categories_alive"] = case.curve(_survivors(frequencies, n))
    elif case.composition.keeps_real:
        # What the real data contain stays.
        in_real_data = sum(1 - (1 - p) ** n for p in frequencies)
        curves["categories_alive"] = [in_real_data] * case.generations
    return curves


def _memorizer(case: Case) -> dict[str, Curve]:
    return {**_categories(case), **predict_memorizer(case)}


def _estimator(model: Any) -> Estimator | None:
    """Return how a model's fit follows from its training set; None where that is not known."""
    if isinstance(model, GaussianModelSettings):
        return Estimator(ddof=int(model.estimator == "unbiased"), sampling_bias=model.sampling_bias)
    if isinstance(model, KdeSettings):
        return Estimator(added=model.bandwidth**2)
    if isinstance(model, MixtureSettings):
        return Estimator(added=model.regularization)
    return None


def _survivors(frequencies: Sequence[float], n: int) -> Iterator[float]:
    """Yield the expected number of categories left in generations 0, 1, ..., while it is known."""
    import torch

    from imglab.solvable.theory.categories import EXACT, RARE, surviving_categories, survivors

    probabilities = torch.tensor(frequencies, dtype=torch.float64)
    if n <= EXACT:
        return survivors(probabilities, n)
    return (surviving_categories(probabilities, n, t) for t in range(1, n // RARE + 1))


LAWS: Mapping[tuple[type, type], Law] = {
    (GaussianDataSettings, GaussianModelSettings): _vectors,
    (GaussianDataSettings, KdeSettings): _vectors,
    (GaussianDataSettings, MixtureSettings): _vectors,
    (GaussianDataSettings, StoppedDiffusionSettings): predict_stopped_diffusion,
    (CountsSettings, RateSettings): predict_counts,
    (RegressionDataSettings, RidgeSettings): predict_regression,
    (LabelsSettings, LabellerSettings): predict_labels,
    (CategoriesSettings, FrequenciesSettings): _categories,
    (CategoriesSettings, MemorizerSettings): _memorizer,
    (CategoriesSettings, PreferencesSettings): predict_preferences,
}
"""What theory says, by the settings of the data and of the model."""
