"""The closed forms, and the real loop against them: 300 Gaussian chains of 20 generations for each
regime.
"""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from imglab import regimes
from imglab.loop import run_chain
from imglab.measure import Measure
from imglab.measures import Features, Measures
from imglab.solvable.gaussian.modality import GaussianModality
from imglab.solvable.gaussian.model import GaussianModel
from imglab.solvable.gaussian.settings import GaussianDataSettings, GaussianModelSettings
from imglab.solvable.theory import gaussian

CHAINS, GENERATIONS, N = 200, 20, 20


class Unmeasured(Measure):
    """Stands in for `Measure`: the fitted parameters are all that these tests look at."""

    def __init__(self, modality):
        super().__init__(modality)

    def prepare(self, n_synthetic=None):
        yield from ()

    def features(self, samples):
        yield from ()
        return Features(samples.data, "identity")

    def scores(self, samples, features):
        yield from ()
        return Measures()


def fitted_parameters(regime, estimator="mle", start="scratch"):
    """Return fitted means and variances, [chains, generations]."""
    found = torch.empty(2, CHAINS, GENERATIONS, dtype=torch.float64)
    model = GaussianModel(GaussianModelSettings(estimator=estimator))
    for chain in range(CHAINS):
        modality = GaussianModality(
            GaussianDataSettings(dimensions=1, n_train=N, n_test=2, data_seed=chain)
        )
        events = run_chain(
            modality,
            model,
            regime,
            generations=GENERATIONS,
            seed=chain,
            shown=1,
            measure=Unmeasured(modality),
            start=start,
        )
        for generation in events:
            assert isinstance(generation.model, GaussianModel)
            assert isinstance(generation.model, GaussianModel)
            mean, covariance = generation.model.moments
            found[:, chain, generation.index] = torch.stack([mean[0], covariance[0, 0]])
    return found


def z_score(samples, expected):
    return float((samples.mean() - expected) / (samples.std() / len(samples) ** 0.5))


def assert_agrees(found, predict):
    means, variances = found
    for g in (0, 1, 4, 9, GENERATIONS - 1):
        expected = predict(N, g + 1)
        assert abs(z_score(variances[:, g], expected.variance)) < 4, f"variance at generation {g}"
        assert abs(z_score(means[:, g].square(), expected.mean_variance)) < 4, (
            f"mean at generation {g}"
        )


@pytest.mark.slow
def test_loop_replace_mle_follows_theory():
    found = fitted_parameters(regimes.replace)
    assert_agrees(found, gaussian.replace_mle)
    logs = found[1][:, -1].log()
    assert abs(z_score(logs, gaussian.log_variance(N, GENERATIONS))) < 4
    w2 = found[0][:, -1].square() + (found[1][:, -1].sqrt() - 1).square()
    assert abs(z_score(w2, gaussian.wasserstein_replace(N, GENERATIONS))) < 4


@pytest.mark.slow
def test_loop_replace_unbiased_follows_theory():
    found = fitted_parameters(regimes.replace, estimator="unbiased")
    assert_agrees(found, gaussian.replace_unbiased)
    assert float(found[1][:, -1].median()) < 0.75, (
        "the mean stays 1 while most chains have collapsed"
    )


@pytest.fixture(scope="module")
def accumulated():
    return fitted_parameters(regimes.accumulate)


@pytest.mark.slow
def test_loop_accumulate_follows_theory(accumulated):
    assert_agrees(accumulated, gaussian.accumulate_mle)


@pytest.mark.slow
def test_loop_accumulate_subsample_follows_theory():
    found = fitted_parameters(regimes.accumulate_subsample)
    for g in (0, 1, 4, GENERATIONS - 1):
        expected = gaussian.accumulate_subsample_mle(N, g + 1)
        assert abs(z_score(found[1][:, g], expected.variance)) < 4


@pytest.mark.slow
def test_loop_fresh_mix_follows_theory():
    regime = partial(regimes.mix, real_fraction=0.25, real="fresh")
    assert_agrees(fitted_parameters(regime), partial(gaussian.fresh_mix_mle, real_fraction=0.25))


@pytest.mark.slow
def test_loop_synthetic_augmentation_settles():
    """Fixed real n plus lambda n synthetic: n Var(mu) -> 1 + lambda / (1 + 2 lambda) for
    large n.
    """
    ratio, n = 1.0, 20
    found = fitted_parameters(partial(regimes.synthetic_augmentation, ratio=ratio))
    expected = gaussian.augmentation_mean_variance(n, ratio)
    z = z_score(found[0][:, -1].square(), expected)
    assert abs(z) < 4, z


@pytest.mark.slow
def test_loop_sliding_window_of_one_is_replace():
    found = fitted_parameters(partial(regimes.sliding_window, window=1))
    assert_agrees(found, gaussian.replace_mle)


@pytest.mark.slow
def test_wrong_theory_is_refused(accumulated):
    """The comparison can fail: accumulate's chains do not follow replace's law."""
    with pytest.raises(AssertionError):
        assert_agrees(accumulated, gaussian.replace_mle)


@pytest.mark.parametrize(("n", "alpha"), [(100, 0.1), (50, 0.5), (20, 1.0)])
def test_fresh_mix_settles(n, alpha):
    limit = gaussian.fresh_mix_limit(n, alpha)
    late = gaussian.fresh_mix_mle(n, 400, alpha)
    assert late.variance == pytest.approx(limit.variance, rel=1e-9)
    assert gaussian.fresh_mix_mle(n, 1, alpha).variance == pytest.approx(1 - 1 / n)


def test_no_real_data_is_replace():
    assert gaussian.fresh_mix_mle(30, 7, 0.0).variance == pytest.approx(
        gaussian.replace_mle(30, 7).variance
    )


def test_published_values():
    """Values of the closed forms at the settings where they were checked by simulation."""
    assert gaussian.accumulate_limit(10) == pytest.approx(0.8438, abs=1e-3)
    assert gaussian.accumulate_mle(10, 10_000).variance == pytest.approx(
        gaussian.accumulate_limit(10), rel=1e-4
    )
    assert gaussian.accumulate_subsample_mle(10, 20).variance == pytest.approx(0.750, abs=1e-3)
    assert gaussian.accumulate_subsample_mle(100, 100).variance == pytest.approx(0.971, abs=1e-3)
    assert gaussian.accumulate_mle(100, 100).variance == pytest.approx(0.984, abs=1e-3)
    assert gaussian.replace_mle(100, 100).variance == pytest.approx(0.366, abs=1e-3)
    assert gaussian.replace_unbiased(20, 2, 0.8).variance == pytest.approx(0.8)
    assert gaussian.wasserstein_replace(100, 100_000) == pytest.approx(2, abs=1e-6)
    assert math.exp(gaussian.log_variance(100, 200)) < gaussian.replace_mle(100, 200).variance
