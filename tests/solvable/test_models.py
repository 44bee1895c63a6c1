"""Blurred sets, mixtures and categories: densities against scipy and scikit-learn, chains against
theory.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity

from imglab import load_model, seeds
from imglab.config.load import validate_config
from imglab.errors import InputError, Stopped
from imglab.metrics import Moments, frechet_of_moments
from imglab.running.build import build
from imglab.samples import Samples, TrainingSet
from imglab.solvable.gaussian.vector_model import moment_measures
from tests.solvable.chains import KDE, ROW, ZIPF, parts, vectors
from tests.text_fixtures import finish


def fit(modality, model, **keys):
    return finish(
        model.fit(TrainingSet.of(modality.real("train")), start=keys.get("start"), seed=3)
    )


class TestDensities:
    def test_kde_is_that_of_scikit_learn(self):
        _, modality, model = parts(vectors(), KDE)
        oracle = KernelDensity(bandwidth=0.4).fit(modality.real("train").data.double().numpy())
        at = modality.real("test")
        expected = oracle.score_samples(at.data.double().numpy())
        np.testing.assert_allclose(fit(modality, model).log_density(at), expected, rtol=1e-10)

    def test_mixture_is_that_of_scipy(self):
        _, modality, model = parts(vectors(**ROW), {"kind": "mixture"})
        fitted, at = fit(modality, model), modality.real("test")
        weights, means, covariances = (part.numpy() for part in fitted.components)
        each = [
            weights[k]
            * stats.multivariate_normal(means[k], covariances[k]).pdf(at.data.double().numpy())
            for k in range(2)
        ]
        np.testing.assert_allclose(fitted.log_density(at), np.log(sum(each)), rtol=1e-9)

    def test_categories_are_log_frequencies(self):
        _, modality, model = parts({**ZIPF, "n_train": 12}, "categories")
        counts = torch.bincount(modality.real("train").data[:, 0], minlength=30)
        found = fit(modality, model).log_density(Samples.real(torch.arange(30)[:, None]))
        assert found.isneginf().equal(counts == 0)
        torch.testing.assert_close(found.exp(), counts.double() / 12)


class TestDraws:
    @pytest.mark.parametrize("model", [KDE, {"kind": "mixture"}])
    def test_draws_have_the_moments_of_the_model(self, model):
        _, modality, made = parts(vectors(**ROW), model)
        fitted = fit(modality, made)
        mean, covariance = fitted.moments
        drawn = fitted.sample(20_000, seed=5).data.double()
        error = covariance.diagonal().sqrt() / len(drawn) ** 0.5
        assert ((drawn.mean(0) - mean).abs() < 4 * error).all()
        assert drawn.T.cov().allclose(covariance, atol=0.1)

    @pytest.mark.parametrize("model", [KDE, {"kind": "mixture"}])
    def test_draws_follow_the_density(self, model):
        """Kolmogorov and Smirnov on the distribution function that the density integrates to."""
        _, modality, made = parts(vectors(dimensions=1, n_train=12, **ROW), model)
        fitted = fit(modality, made)
        grid = torch.linspace(-9, 9, 20_001, dtype=torch.float64)
        cdf = fitted.log_density(Samples.real(grid[:, None])).exp().cumsum(0) * (grid[1] - grid[0])
        assert float(cdf[-1]) == pytest.approx(1, abs=1e-4)
        drawn = fitted.sample(4000, seed=1).data[:, 0].numpy()
        assert stats.kstest(drawn, lambda x: np.interp(x, grid, cdf)).pvalue > 1e-4

    def test_frequencies_are_drawn_as_counted(self):
        _, modality, model = parts({**ZIPF, "n_train": 300}, "categories")
        fitted = fit(modality, model)
        found = torch.bincount(fitted.sample(20_000, seed=1).data[:, 0], minlength=30)
        alive = fitted.counts > 0
        assert not found[~alive].any(), "what has died is never drawn"
        assert stats.chisquare(found[alive], 20_000 * fitted.frequencies[alive]).pvalue > 1e-4

    def test_inversion_never_takes_an_empty_place(self):
        weights = torch.tensor([0, 2, 0, 3, 0])
        edges = torch.tensor([0.0, 0.3999, 0.4, 1 - 2**-53], dtype=torch.float64)
        assert seeds.invert(weights, edges).tolist() == [1, 1, 3, 3]


class TestRealData:
    def test_one_component_is_the_standard_normal_of_old(self):
        one, row = (parts(vectors(**keys), "gaussian")[1] for keys in ({}, ROW))
        expected = torch.randn(200, 3, generator=seeds.generator(0, "gaussian", "train"))
        assert one.real("train").data.equal(expected)
        assert one.fresh(9, first=4, seed=2).data.equal(seeds.normal((3,), range(4, 13), seed=2))
        moved = (row.real("train").data - expected)[:, 0]
        assert moved.round(decimals=3).unique().tolist() == [-1.5, 1.5]

    @pytest.mark.parametrize("components", [1, 2, 5])
    def test_the_true_moments_are_those_of_the_data(self, components):
        keys = {"components": components, "separation": 2.0, "n_train": 20_000}
        config, modality, _ = parts(vectors(**keys), "gaussian")
        for data in (modality.real("train").data, modality.fresh(20_000, first=0, seed=1).data):
            assert float(data[:, 0].var()) == pytest.approx(1 + config.modality.between, rel=0.03)
            assert data.mean(0).abs().max() < 0.1

    def test_true_frequencies(self):
        config, modality, _ = parts({**ZIPF, "exponent": 2.0, "n_train": 20_000}, "categories")
        p = torch.tensor(config.modality.frequencies, dtype=torch.float64)
        assert float(p[1] / p[0]) == pytest.approx(0.25)
        for data in (modality.real("train").data, modality.fresh(20_000, first=0, seed=1).data):
            assert (
                stats.chisquare(
                    torch.bincount(data[:, 0], minlength=30), 20_000 * p.double() / p.sum()
                ).pvalue
                > 1e-4
            )
        assert (
            len(
                set(
                    parts({**ZIPF, "distribution": "uniform"}, "categories")[0].modality.frequencies
                )
            )
            == 1
        )


class TestMeasures:
    def test_w2_is_the_frechet_distance_from_the_true_moments(self):
        root = torch.randn(3, 3, generator=seeds.generator(1), dtype=torch.float64)
        mean, covariance = root[0], root @ root.T
        truth = torch.diag(torch.tensor([3.25, 1.0, 1.0], dtype=torch.float64))
        expected = frechet_of_moments(
            real=Moments(torch.zeros_like(mean), truth, 9), synthetic=Moments(mean, covariance, 9)
        )
        assert moment_measures(mean, covariance, between=2.25)["w2"] == pytest.approx(expected)
        plain = (torch.linalg.eigvalsh(covariance).sqrt() - 1).square().sum() + mean.square().sum()
        assert moment_measures(mean, covariance)["w2"] == pytest.approx(float(plain))

    @pytest.mark.parametrize("model", [KDE, {"kind": "mixture"}, "gaussian"])
    def test_a_loaded_model_knows_the_truth(self, model, tmp_path):
        _, modality, made = parts(vectors(n_train=5000, **ROW), model)
        fitted = fit(modality, made)
        fitted.save(tmp_path / "model")
        again = load_model(tmp_path / "model")
        drawn = again.sample(3, seed=1)
        measured = again.metrics(drawn, generation0=again, seed=0).values
        assert measured == fitted.metrics(drawn, generation0=fitted, seed=0).values
        assert measured["w2"] < 0.2, "against N(0, I) it would be above 0.6"

    def test_a_mixture_has_the_moments_of_its_training_set(self):
        """After any step of expectation maximization, plus the regularization."""
        _, modality, model = parts(
            vectors(**ROW), {"kind": "mixture", "components": 3, "iterations": 2}
        )
        mean, covariance = fit(modality, model).moments
        data = modality.real("train").data.double()
        torch.testing.assert_close(mean, data.mean(0))
        expected = data.T.cov(correction=0) + 1e-9 * torch.eye(3, dtype=torch.float64)
        torch.testing.assert_close(covariance, expected, rtol=1e-10, atol=1e-12)

    def test_mixture_components(self):
        _, modality, model = parts(vectors(n_train=4000, **ROW), {"kind": "mixture"})
        fitted = fit(modality, model)
        measured = fitted.metrics(modality.real("test"), generation0=fitted, seed=0).values
        assert measured["component_sigma"] == pytest.approx(1, abs=0.05)
        squares = [value**2 for value in measured["component_sigmas"].values()]
        assert measured["component_sigma"] ** 2 == pytest.approx(sum(squares) / 2)

    def test_a_mixture_goes_on_from_its_start(self):
        """One step from `start` is scikit-learn's one step from the same parameters."""
        _, modality, model = parts(vectors(**ROW), {"kind": "mixture", "iterations": 1})
        first = fit(modality, model)
        weights, means, covariances = (part.numpy() for part in first.components)
        oracle = GaussianMixture(
            2,
            weights_init=weights,
            means_init=means,
            precisions_init=np.linalg.inv(covariances),
            max_iter=1,
            reg_covar=1e-9,
            random_state=0,
        )
        with pytest.warns(match="did not converge"):
            oracle.fit(modality.real("train").data.double().numpy())
        found = fit(modality, model, start=first).components
        for part, name in zip(found, ("weights_", "means_", "covariances_"), strict=True):
            np.testing.assert_allclose(part, getattr(oracle, name), rtol=1e-8)

    def test_categories(self):
        _, modality, model = parts({**ZIPF, "n_train": 25}, "categories")
        fitted = fit(modality, model)
        measured = fitted.metrics(modality.real("test"), generation0=fitted, seed=0).values
        shares = torch.bincount(modality.real("train").data[:, 0], minlength=30) / 25
        assert measured["categories_alive"] == int((shares > 0).sum())
        assert measured["heterozygosity"] == pytest.approx(float(1 - shares.square().sum()))
        assert list(measured["survival"]) == [str(band) for band in range(1, 11)]
        assert measured["survival"]["1"] == pytest.approx(float((shares[27:] > 0).double().mean()))
        assert measured["survival"]["10"] == pytest.approx(float((shares[:3] > 0).double().mean()))

    def test_equal_categories_share_a_band(self):
        _, modality, model = parts({**ZIPF, "distribution": "uniform"}, "categories")
        fitted = fit(modality, model)
        survival = fitted.metrics(modality.real("test"), generation0=fitted, seed=0).values[
            "survival"
        ]
        assert list(survival) == ["1"]


class TestWrongInput:
    @pytest.mark.parametrize(
        ("modality", "model", "message"),
        [
            (
                "categories",
                "kde",
                "model.kind: `kde` draws vectors (use it with modality.kind: gaussian)",
            ),
            ("categories", "gaussian", "model.kind: `gaussian` draws vectors"),
            (
                "gaussian",
                "categories",
                "model.kind: `categories` draws categories (use it with modality.kind:",
            ),
        ],
    )
    def test_a_model_of_other_data(self, modality, model, message):
        config = validate_config({"name": "x", "modality": modality, "model": model}, "a.yaml")
        with pytest.raises(InputError) as caught:
            build(config, "a.yaml")
        assert message in str(caught.value)

    @pytest.mark.parametrize(
        ("section", "key"),
        [
            ({"model": {"kind": "kde", "bandwidth": 0}}, "model.bandwidth"),
            ({"model": {"kind": "mixture", "components": 0}}, "model.components"),
            ({"modality": {"kind": "gaussian", "separation": -1}}, "modality.separation"),
            ({"modality": {"kind": "categories", "categories": 1}}, "modality.categories"),
            (
                {"modality": {"kind": "categories", "distribution": "normal"}},
                "modality.distribution",
            ),
        ],
    )
    def test_a_wrong_value_is_named(self, section, key):
        with pytest.raises(InputError, match=f"a.yaml: {key}: "):
            validate_config(
                {"name": "x", "modality": "gaussian", "model": "kde", **section}, "a.yaml"
            )

    def test_a_mixture_that_cannot_be_fitted_stops_the_run(self):
        _, modality, model = parts(vectors(n_train=2), {"kind": "mixture", "components": 3})
        with pytest.raises(
            Stopped, match=r"no mixture of 3 components fits 2 samples: .*Lower model\.components"
        ):
            fit(modality, model)

    def test_a_mixture_starts_from_as_many_components(self):
        _, modality, two = parts(vectors(), {"kind": "mixture"})
        _, _, three = parts(vectors(), {"kind": "mixture", "components": 3})
        with pytest.raises(ValueError, match="3 components cannot start from one of 2"):
            three.check_start(fit(modality, two))
