"""Remedies against what is solved exactly: the golden ratio, and where Neon's best w lies."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch

from imglab import load_model, seeds
from imglab.progress import Progress
from imglab.remedies import Fit, remedied
from imglab.remedies.anneal import Anneal
from imglab.remedies.self_training import self_trained
from imglab.remedies.weights import origin_weights
from imglab.samples import Samples, TrainingSet
from imglab.solvable.gaussian.kde import KdeModel
from imglab.solvable.gaussian.mixture import MixtureModel
from imglab.solvable.gaussian.modality import GaussianModality
from imglab.solvable.gaussian.settings import (
    GaussianDataSettings,
    KdeSettings,
    MixtureSettings,
    StoppedDiffusionSettings,
)
from imglab.solvable.gaussian.stopped_diffusion import StoppedDiffusionModel
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


def never(*arguments, **keys):
    raise AssertionError("this remedy draws nothing")


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


def hermite4(values):
    """The 4th Hermite coefficient, E He_4(x), of [N]: 0 for a standard normal distribution."""
    return float((values**4 - 6 * values**2 + 3).double().mean())


@pytest.mark.parametrize("decay", [1.0, 0.7])
def test_a_chain_that_stops_early_is_khelifas_low_pass_filter(decay):
    """Two modes of variance 1 in all; perfect models, which draw their training set again."""
    n, alpha, delta, generations = 100_000, 0.1, 0.05, 6
    remedy = Anneal(start=delta, decay=decay)
    model = KdeModel(KdeSettings(bandwidth=1e-4))
    generator = seeds.generator("khelifa")

    def real(size):
        signs = torch.randint(2, (size, 1), generator=generator) * 2.0 - 1
        return 0.9 * signs + math.sqrt(1 - 0.81) * torch.randn(size, 1, generator=generator)

    c_real = -2 * 0.9**4
    data = real(n)
    expected = c_real
    for t in range(1, generations + 1):
        fresh = round(alpha * n)
        train = TrainingSet.of(Samples.real(torch.cat([real(fresh), data[fresh:]])))
        fit = Fit(model, train, None, t, t, None, never, partial(replica, model))
        fitted = run(remedied(fit, [remedy]))

        # Each point once, with the kernel's noise: what a perfect model draws, in less time.
        noise = torch.randn(n, 1, generator=generator)
        data = fitted.tensors["points"] + fitted._settings.bandwidth * noise
        data = data[torch.randperm(n, generator=generator)]
        q = math.exp(-4 * delta * decay ** (t - 1))
        expected = q * (alpha * c_real + (1 - alpha) * expected)
    # The standard deviation of He_4 is at most that of a normal distribution, 24^(1/2), and each
    # generation leaves a share of its error to the next.
    left = (1 - alpha) * math.exp(-4 * delta * decay ** (generations - 1))
    assert abs(hermite4(data) - expected) < 4 * (24 / n / (1 - left**2)) ** 0.5
    if decay == 1.0:
        q = math.exp(-4 * delta)
        law = q * alpha * (1 - left**t) / (1 - left) + left**t
        assert expected == pytest.approx(c_real * law)


def test_a_stopped_diffusion_that_is_annealed_stops_at_the_sum_of_the_times(tmp_path):
    points = torch.randn(50, 2, generator=torch.Generator().manual_seed(1))
    fitted = {
        stop: StoppedDiffusionModel(
            StoppedDiffusionSettings(stop=stop), fitted={"points": points}, seen=50
        )
        for stop in (0.25, 0.75)
    }
    fitted[0.25].stopped(0.5).save(tmp_path / "model")
    annealed = load_model(tmp_path / "model")

    def known(model):
        drawn = model.sample(3, seed=2)
        return drawn.data.tolist(), model.metrics(drawn, generation0=model, seed=0).values

    assert type(annealed) is StoppedDiffusionModel
    assert known(annealed) == known(fitted[0.75])
