"""The closed forms of the papers' own small models against direct simulation and known limits."""

from __future__ import annotations

from itertools import islice, repeat

import numpy as np
import pytest

from imglab.config.load import validate_config
from imglab.solvable.hermite import hermite
from imglab.solvable.theory import (
    counts,
    diffusion,
    labels,
    memory,
    preferences,
    regression,
    weighted,
)
from imglab.solvable.theory.labels import Classifiers, accuracies, passed
from imglab.solvable.theory.moments import Estimator, last_generation
from imglab.solvable.theory.predict import predict
from imglab.solvable.theory.scaling import plateau, power_law


@pytest.fixture
def rng():
    return np.random.Generator(np.random.PCG64(7))


def z_score(values, expected):
    values = np.asarray(values)
    return (values.mean() - expected) / (values.std(ddof=1) / np.sqrt(len(values)))


def zipf(n, beta):
    p = np.arange(1.0, n + 1) ** -beta
    return p / p.sum()


class TestRegression:
    def test_published_theorems(self):
        """Gerstgrasser et al. 2024: t in units of one fit's risk, and the sum of 1/k^2."""
        fit = regression.least_squares(50, 10)
        assert fit is not None
        one = 2.0**2 * 10 / (50 - 10 - 1)
        keys = {"signal": 3.0, "noise": 2.0}
        replaced = list(islice(regression.replace(fit, 10, same_inputs=True, **keys), 10))
        assert replaced == pytest.approx([t * one for t in range(1, 11)])
        pooled = list(islice(regression.accumulate(fit, 10, **keys), 4000))
        assert pooled[9] == pytest.approx(1.5498 * one, rel=1e-4)
        assert pooled[-1] < np.pi**2 / 6 * one

    def test_the_double_descent(self):
        assert regression.least_squares(10, 10) is None
        assert regression.least_squares(11, 10) is None
        risks = []
        for rows in (5, 8, 12, 30):
            fit = regression.least_squares(rows, 10)
            assert fit is not None
            law = regression.replace(fit, 10, signal=1.0, noise=1.0, same_inputs=True)
            risks.append(next(law))
        assert risks[0] < risks[1] < risks[2] > risks[3]
        assert risks[0] == pytest.approx(0.5 + 5 / 4)

    def test_ridge_tends_to_least_squares(self):
        ridged = regression.ridge(4000, 800, 1e-9)
        exact = regression.least_squares(4000, 800)
        assert exact is not None
        assert ridged.mean(ridged.noise) == pytest.approx(exact.mean(exact.noise), rel=0.01)
        wide = regression.ridge(50, 200, 1e-9)
        assert wide.mean(wide.kept) == pytest.approx(0.25, rel=1e-3)

    @pytest.mark.parametrize(("real", "synthetic", "d"), [(8, 12, 5), (0, 20, 5), (15, 5, 1)])
    def test_what_a_mixture_inherits(self, rng, real, synthetic, d):
        inputs = rng.standard_normal((20_000, real + synthetic, d))
        drawn = inputs[:, real:].transpose(0, 2, 1) @ inputs[:, real:]
        whole = inputs.transpose(0, 2, 1) @ inputs
        passed_on = np.linalg.solve(whole, drawn)[:, :, 0]
        squares = (passed_on**2).sum(1)
        expected = regression.passed_on(real, synthetic, d)
        assert squares.mean() == pytest.approx(expected, rel=0.02)

    def test_strong_collapse(self):
        """However many rows there are, a tenth of synthetic ones passes on a hundredth."""
        assert regression.passed_on(90_000, 10_000, 50) == pytest.approx(0.01, rel=0.02)


class TestMemory:
    def test_exponent(self):
        p = list(zipf(1_000_000, 1.5))
        ratio = memory.real_error(p, 2000) / memory.real_error(p, 1000)
        assert -np.log2(ratio) == pytest.approx(memory.exponent(1.5), abs=0.02)

    def test_chains(self, rng):
        p = zipf(300, 1.5)
        errors = []
        for _ in range(1500):
            counts_of = rng.multinomial(80, p)
            for _ in range(2):
                drawn = rng.multinomial(100, counts_of / counts_of.sum())
                counts_of = drawn + rng.multinomial(10, p)
            errors.append(p[counts_of == 0].sum())
        expected = memory.chain_error(list(p), [(80, 0), (10, 100), (10, 100)])
        assert abs(z_score(errors, expected)) < 4
        assert abs(z_score(errors, memory.chain_error(list(p), [(80, 0), (0, 110), (0, 110)]))) > 6


SIZES = np.array([250.0, 500, 1000, 2000, 4000, 8000])


class TestScaling:
    """Real items, items drawn from a model of 500 real ones, and these with new ones beside."""

    @staticmethod
    def errors(rng, fresh, seeds=12):
        p = zipf(50_000, 1.5)
        rows = []
        for _ in range(seeds):
            model = rng.multinomial(500, p) / 500
            row = []
            for size in SIZES.astype(int):
                new = int(fresh * size)
                seen = rng.multinomial(new, p) + rng.multinomial(size - new, model)
                row.append(p[seen == 0].sum())
            rows.append(row)
        return np.array(rows)

    def test_real_items_follow_a_power_law(self, rng):
        errors = self.errors(rng, 1.0)
        law = power_law(SIZES, errors)
        assert law.low < 0.345 < law.high or abs(law.exponent - 1 / 3) < 0.02
        assert law.high - law.low < 0.03
        assert plateau(SIZES, errors).evidence < 0

    def test_synthetic_items_level_off_at_the_error_of_their_origin(self, rng):
        levelled = plateau(SIZES, self.errors(rng, 0.0))
        assert levelled.evidence > 10
        assert levelled.level == pytest.approx(
            memory.real_error(list(zipf(50_000, 1.5)), 500), rel=0.1
        )

    def test_new_real_items_lift_the_level(self, rng):
        late = SIZES >= 1000
        law = power_law(SIZES[late], self.errors(rng, 0.125)[:, late])
        assert law.low > 0.1

    def test_too_little_is_refused(self, rng):
        with pytest.raises(ValueError, match="two seeds and three sizes"):
            power_law(SIZES[:2], np.ones((3, 2)))
        with pytest.raises(ValueError, match="five sizes"):
            plateau(SIZES[:4], np.ones((3, 4)))
        with pytest.raises(ValueError, match="above 0"):
            power_law(SIZES, np.zeros((3, 6)))


class TestPreferences:
    p = zipf(6, 1.0)
    rewards = np.linspace(0, 2, 6)

    def test_a_pair_is_bradley_terrys(self):
        chance = 1 / (1 + np.exp(self.rewards[None] - self.rewards[:, None]))  # row beats column
        expected = 2 * self.p * (chance @ self.p)
        kept = preferences.kept_frequencies(self.p, self.rewards, 2)
        assert kept == pytest.approx(expected, rel=1e-6)

    def test_one_choice_changes_nothing_and_many_tilt(self):
        kept = preferences.kept_frequencies(self.p, self.rewards, 1)
        assert kept == pytest.approx(self.p, rel=1e-6)
        many = preferences.kept_frequencies(self.p, self.rewards, 2000)
        assert many == pytest.approx(preferences.tilted(self.p, self.rewards), rel=2e-3)
        few = preferences.kept_frequencies(self.p, self.rewards, 3)
        assert np.abs(few - preferences.tilted(self.p, self.rewards)).max() > 0.02

    def test_finite_samples(self, rng):
        n = 60
        scores = []
        for _ in range(2000):
            p = rng.multinomial(n, self.p) / n
            for _ in range(2):
                kept = preferences.kept_frequencies(p, self.rewards, 3)
                p = rng.multinomial(n, kept / kept.sum()) / n
            scores.append((p @ self.rewards, 1 - (p**2).sum()))
        fits = preferences.expectations(self.p, self.rewards, 3, n, repeat((0, n)))
        mean, covariance = list(islice(fits, 3))[-1]
        reward, heterozygosity = np.array(scores).T
        assert abs(z_score(reward, mean @ self.rewards)) < 4
        assert abs(z_score(heterozygosity, 1 - mean @ mean - covariance.trace())) < 4
        assert abs(z_score(heterozygosity, 1 - mean @ mean)) > 6, "without the scatter of p"


class TestLabels:
    @pytest.mark.parametrize("verifier", ["none", "oracle", 0.5])
    def test_what_passes(self, rng, verifier):
        w = np.array([0.4, 0.3, 0.8])
        classes = rng.choice([-1.0, 1.0], 300_000)
        x = rng.standard_normal((300_000, 3))
        x[:, 0] += 1.2 * classes
        drawn = np.sign(x @ w)
        passes = np.ones(len(x), dtype=bool)
        if verifier == "oracle":
            passes = drawn == classes
        elif verifier == 0.5:
            passes = drawn * (0.5 * x[:, 0] + 0.75**0.5 * x[:, 1]) > 0
        signed = (drawn[:, None] * x)[passes]
        expected = passed(w[None], 1.2, verifier)
        assert signed.mean(0) == pytest.approx(expected.mean[0], abs=0.01)
        assert signed.T @ signed / len(signed) == pytest.approx(expected.square[0], abs=0.02)

    def test_feng(self, monkeypatch):
        """A generator that is right in 76% of cases, and its students of 16,000 labels."""
        monkeypatch.setattr(labels, "DRAWS", 1 << 11)
        students = {}
        for verifier in ("none", 0.2, 0.5, 0.8, "oracle"):
            fits = Classifiers(200, 1.78, True, np.random.Generator(np.random.PCG64(0)))
            pairs = accuracies(fits, verifier, 248, repeat((0, 16_000)))
            (generator, _), (students[verifier], _) = islice(pairs, 2)
        assert generator == pytest.approx(0.758, abs=0.005)
        assert students["none"] == pytest.approx(0.77, abs=0.02)
        assert list(students.values()) == sorted(students.values())
        assert students["oracle"] > 0.94


class TestDiffusion:
    def test_hermite(self, rng):
        x = rng.standard_normal(200_000) + 1.5
        assert hermite(4, x).mean() == pytest.approx(1.5**4, rel=0.05)
        assert diffusion.component_coefficient(4, [-2.0, 2.0]) == 16

    def test_published_values(self):
        """THEORY: c_0 = -1.758, k = 4, delta = .05, alpha = .1 at t = 1, 5, 20, 60."""
        values = [-1.758 * diffusion.low_pass(4, 0.05, 0.1, t) for t in (1, 5, 20, 60)]
        assert values == pytest.approx([-1.439, -0.810, -0.550, -0.547], abs=1e-3)

    def test_predicted_chains_are_the_closed_form(self):
        keys = {"model": {"kind": "stopped_diffusion", "stop": 0.05}, "name": "x"}
        data = {"kind": "gaussian", "components": 2, "separation": 4.0, "n_train": 100}
        regime = {"kind": "mix", "real_fraction": 0.1, "real": "fresh"}
        config = validate_config({**keys, "modality": data, "regime": regime}, "test")
        curve = predict(config, 100, 30)["hermite_4"]
        assert curve == pytest.approx(
            [16 * diffusion.low_pass(4, 0.05, 0.1, t) for t in range(1, 31)]
        )


class TestCounts:
    def test_closed_forms_are_the_recursions(self):
        data = {"kind": "counts", "mean": 0.3, "n_train": 20}
        bernoulli = {**data, "distribution": "bernoulli"}
        for section, variance, error in (
            (bernoulli, counts.bernoulli_variance(0.3, 20, 9), 0.21 * (1 - 0.95**9)),
            (data, 0.3, counts.poisson_mean_error(0.3, 20, 9)),
        ):
            tree = {"name": "x", "modality": section, "model": "rate"}
            law = predict(validate_config(tree, "test"), 20, 9)
            assert law["variance"][8] == pytest.approx(variance)
            assert law["mean_error"][8] == pytest.approx(error)

    def test_extinction(self, rng):
        total = rng.poisson(20 * 0.5, 40_000)
        for _ in range(9):
            total = rng.poisson(total)
        expected = counts.poisson_extinction(0.5, 20, 10)
        assert (total == 0).mean() == pytest.approx(expected, abs=0.01)


class TestWeighted:
    def test_the_golden_ratio_is_the_best_weight(self):
        assert weighted.stationary(weighted.GOLDEN) == pytest.approx(weighted.GOLDEN)
        tried = np.linspace(0.4, 1, 601)
        best = tried[np.argmin([weighted.stationary(w) for w in tried])]
        assert best == pytest.approx(weighted.GOLDEN, abs=1e-3)
        late = next(islice(weighted.unit_variance(50, 0.8), 40, None))
        assert 50 * late == pytest.approx(0.708, abs=1e-3)

    @pytest.mark.parametrize("weight", [0.3, 0.618])
    def test_simulation_and_recursion(self, rng, weight):
        n, chains = 10, 4000
        mean = rng.standard_normal((chains, n)).mean(1)
        for _ in range(12):
            real = rng.standard_normal((chains, n)).mean(1)
            drawn = mean + rng.standard_normal((chains, n)).mean(1)
            mean = weight * real + (1 - weight) * drawn
        law = next(islice(weighted.unit_variance(n, weight), 12, None))
        assert abs(z_score(mean**2, law)) < 4
        assert abs(z_score(mean**2, next(islice(weighted.unit_variance(n, 0.9), 12, None)))) > 6

        pairs = zip(
            islice(weighted.weighted(n, weight), 13),
            last_generation(n, repeat((n, n)), Estimator(), weight=weight),
            strict=False,
        )
        for fitted, recursion in pairs:
            assert fitted.mean_variance == pytest.approx(recursion.mean_variance)
