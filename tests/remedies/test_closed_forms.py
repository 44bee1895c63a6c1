"""Remedies against what is solved exactly: the golden ratio, and where Neon's best w lies."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch

from imglab import seeds
from imglab.progress import Progress
from imglab.remedies import Fit
from imglab.remedies.neon import self_trained
from imglab.remedies.weights import origin_weights
from imglab.samples import Samples, TrainingSet
from imglab.solvable.gaussian.mixture import MixtureModel
from imglab.solvable.gaussian.modality import GaussianModality
from imglab.solvable.gaussian.settings import GaussianDataSettings, MixtureSettings
from tests.test_loop import gaussian

N = 50


def run(stage):
    while True:
        try:
            next(stage)
        except StopIteration as end:
            return end.value


def mean_variance(w, *, chains=4000, generations=12):
    """N Var(mean) of chains that estimate a mean from n fresh real and n synthetic values, as the
    weights say, and its standard error; the noise is the same for every w.
    """
    weights = origin_weights(torch.tensor([-1] * N + [0] * N), w)
    if weights is None:
        weights = torch.ones(2 * N, dtype=torch.float64)
    generator = seeds.generator("golden")
    mean = torch.zeros(chains, dtype=torch.float64)
    for _ in range(generations):
        values = torch.randn(chains, 2 * N, generator=generator, dtype=torch.float64)
        values[:, N:] += mean[:, None]
        mean = values @ weights / weights.sum()
    variance = N * mean.square()
    return float(variance.mean()), float(variance.std() / math.sqrt(chains))


def test_the_best_weight_of_real_data_is_the_golden_ratio():
    tried = [0.5, 0.56, 0.618, 0.68, 0.74]
    values = []
    for w in tried:
        value, error = mean_variance(w)
        expected = (w**2 + (1 - w) ** 2) / (1 - (1 - w) ** 2)
        assert abs(value - expected) < 4 * error
        values.append(value)
    curve = np.polynomial.Polynomial.fit(tried, values, 3)
    fine = np.linspace(0.5, 0.74, 241)
    assert float(fine[curve(fine).argmin()]) == pytest.approx(0.618, abs=0.02)


@pytest.mark.parametrize("estimator", ["mle", "unbiased"])
def test_a_weighted_normal_distribution_is_numpys(estimator):
    _, model = gaussian()
    model = type(model)(model._settings.model_copy(update={"estimator": estimator}))
    values = torch.randn(9, 2, generator=seeds.generator("values"))
    weights = torch.rand(9, generator=seeds.generator("weights"), dtype=torch.float64)
    weights = weights / weights.mean()

    train = TrainingSet.of(Samples.real(values)).weighted(weights)
    fitted = run(model.fit(train, start=None, seed=0))
    mean, covariance = (tensor.numpy() for tensor in fitted.moments)
    aweights = weights.numpy()
    ddof = {"mle": 0, "unbiased": 1}[estimator]
    expected = np.cov(values.double().numpy().T, aweights=aweights, ddof=ddof)
    np.testing.assert_allclose(mean, np.average(values.numpy(), axis=0, weights=aweights))
    np.testing.assert_allclose(covariance, expected)


class Sampler(MixtureModel):
    """A mixture whose sampler draws components of `bias` times their covariance."""

    bias = 1.0

    def draw(self, indices, *, conditions, seed):
        tensors = {**self.tensors, "covariances": self.tensors["covariances"] * self.bias}
        yield from MixtureModel.draw(
            self._fitted(tensors, 0), indices, conditions=conditions, seed=seed
        )


class ModeSeeking(Sampler):
    bias = 0.7


class DiversitySeeking(Sampler):
    bias = 1.4


def replica(model):
    return model


def best_w(kind, *, sets=6, n=60):
    """The w at which real data are most likely, on average over models fitted to n points."""
    settings = GaussianDataSettings(n_train=n * sets, n_test=3000, components=2)
    data = GaussianModality(settings)
    real = data.real("train")
    model = kind(MixtureSettings(components=2), data)
    tried = torch.linspace(-1, 1, 21).tolist()
    totals = torch.zeros(len(tried))

    def draw(model, train, n, *, seed):
        yield Progress("sample", n, n)
        return model.sample(n, seed=seed)

    for number in range(sets):
        train = TrainingSet.of(real[torch.arange(n * number, n * number + n)])
        reference = run(model.fit(train, start=None, seed=number))
        fit = Fit(model, train, None, 1, number, None, draw, partial(replica, reference))
        trained = run(self_trained(fit, reference, 2000))
        for place, w in enumerate(tried):
            moved = reference.moved_away(trained, w)
            totals[place] += moved.log_density(data.real("test")).mean()
    return tried[int(totals.argmax())]


def test_neons_best_w_has_the_sign_that_the_sampler_asks_for():
    assert best_w(ModeSeeking) > 0
    assert best_w(DiversitySeeking) < 0
