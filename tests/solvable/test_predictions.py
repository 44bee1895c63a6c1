"""Closed forms against simulation, and chains against what is predicted of them."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pytest
import torch

from imglab.config.load import validate_config
from imglab.loop import run_chain
from imglab.running.build import build_regime
from imglab.solvable.theory import categories, gaussian, kde
from imglab.solvable.theory.moments import (
    Estimator,
    accumulated,
    accumulated_subsample,
    last_generation,
)
from imglab.solvable.theory.predict import predict
from tests.solvable.chains import KDE, ROW, ZIPF, parts, vectors
from tests.solvable.test_theory import Unmeasured, z_score

N, GENERATIONS = 20, 8


FRESH = {"kind": "mix", "real_fraction": 0.25, "real": "fresh"}


class TestLaws:
    """The recursions of moments hold the closed forms as special cases."""

    def test_replace(self):
        for t, found in enumerate(islice(last_generation(N, [(0, N)] * 30, Estimator()), 30), 1):
            assert found.variance == pytest.approx(gaussian.replace_mle(N, t).variance)
            assert found.mean_variance == pytest.approx(gaussian.replace_mle(N, t).mean_variance)
        biased = last_generation(N, [(0, N)] * 30, Estimator(ddof=1, sampling_bias=0.8))
        for t, found in enumerate(biased, 1):
            assert found.variance == pytest.approx(gaussian.replace_unbiased(N, t, 0.8).variance)
            assert found.mean_variance == pytest.approx(
                gaussian.replace_unbiased(N, t, 0.8).mean_variance
            )

    def test_kde(self):
        for t, found in enumerate(last_generation(N, [(0, N)] * 30, Estimator(added=0.25)), 1):
            expected = kde.kde_replace(N, t, 0.5)
            assert found.variance == pytest.approx(expected.variance)
            assert found.mean_variance == pytest.approx(expected.mean_variance)
        assert kde.kde_replace(N, 10_000, 0.5).variance == pytest.approx(N * 0.25)
        many = 10**8
        assert kde.kde_replace(many, 20, 0.5).variance == pytest.approx(1 + 20 * 0.25, rel=1e-5)
        grown = list(islice(accumulated(many, Estimator(added=0.25)), 20))[-1]
        assert grown.variance == pytest.approx(kde.kde_accumulate_limit(20, 0.5), rel=1e-5)
        share = (many // 4, many - many // 4)
        *_, mixed = last_generation(many, [share] * 19, Estimator(added=0.25))
        assert mixed.variance == pytest.approx(kde.kde_fresh_mix_limit(20, 0.5, 0.25), rel=1e-5)

    def test_pools_and_fresh_data(self):
        whole, drawn = accumulated(N, Estimator()), accumulated_subsample(N, Estimator())
        mixed = last_generation(N, [(5, 15)] * 29, Estimator())
        for t in range(1, 31):
            assert next(whole).variance == pytest.approx(gaussian.accumulate_mle(N, t).variance)
            assert next(drawn).variance == pytest.approx(
                gaussian.accumulate_subsample_mle(N, t).variance
            )
            assert next(mixed).mean_variance == pytest.approx(
                gaussian.fresh_mix_mle(N, t, 0.25).mean_variance
            )

    def test_augmentation_settles_at_its_limit(self):
        n = 100_000
        *_, late = last_generation(n, [(n, n // 2)] * 200, Estimator(), shared=1 / n)
        assert late.mean_variance == pytest.approx(
            gaussian.augmentation_mean_variance(n, 0.5), rel=1e-4
        )

    def test_survivors(self):
        p = 1 / torch.arange(1, 101, dtype=torch.float64)
        p /= p.sum()
        exact = list(islice(categories.survivors(p, 500), 3000))
        assert exact[0] == pytest.approx(float((1 - (1 - p) ** 500).sum()))
        assert exact[9] == pytest.approx(categories.surviving_categories(p, 500, 10), rel=0.005)
        assert exact[-1] == pytest.approx(1, abs=0.05), "in the end one category has taken all"

    def test_absorption(self):
        assert categories.absorption_time(0.5, 100) == pytest.approx(200 * np.log(2))
        assert categories.absorption_time_uniform(2, 100) == pytest.approx(
            categories.absorption_time(0.5, 100)
        )
        chances = torch.full((2,), 0.5, dtype=torch.float64)
        waited = 1 + sum(left - 1 for left in islice(categories.survivors(chances, 100), 2000))
        assert waited == pytest.approx(categories.absorption_time(0.5, 100), rel=0.02)


CHAINS = {
    "kde, replace": (KDE, "replace", vectors(), 60),
    "kde, accumulate": (KDE, "accumulate", vectors(), 60),
    "kde, subsample": (KDE, "accumulate_subsample", vectors(), 60),
    "kde, fresh": (KDE, FRESH, vectors(), 60),
    "kde, a row": (KDE, FRESH, vectors(**ROW), 60),
    "mixture, replace": ({"kind": "mixture"}, "replace", vectors(dimensions=2, **ROW), 50),
    "gaussian, fixed": ("gaussian", {**FRESH, "real": "fixed"}, vectors(), 60),
    "gaussian, resampled": ("gaussian", {**FRESH, "real": "resampled"}, vectors(), 60),
    "gaussian, schedule": ("gaussian", {**FRESH, "real_fraction": [0.6, 0.1]}, vectors(), 60),
    "gaussian, augmentation": (
        "gaussian",
        {"kind": "synthetic_augmentation", "ratio": 0.5},
        vectors(),
        60,
    ),
    "gaussian, fresh data": ("gaussian", {"kind": "fresh_data", "fresh": 10}, vectors(), 60),
    "gaussian, biased pool": (
        {"kind": "gaussian", "estimator": "unbiased", "sampling_bias": 0.7},
        "accumulate",
        vectors(),
        60,
    ),
    "gaussian, w2": ("gaussian", "replace", vectors(dimensions=1), 150),
    "categories, replace": ("categories", "replace", ZIPF, 100),
    "categories, accumulate": ("categories", "accumulate", ZIPF, 100),
    "categories, fresh": ("categories", FRESH, {**ZIPF, "distribution": "uniform"}, 100),
}


def chain_metrics(modality, model, regime, chains, names):
    """Metrics of many chains with data of their own, float64 [metric, chain, generation]."""
    found = torch.empty(len(names), chains, GENERATIONS, dtype=torch.float64)
    for chain in range(chains):
        config, data, made = parts(
            {**modality, "n_train": N, "n_test": 2, "data_seed": chain},
            model,
            regime=regime,
            seed=chain,
        )
        rows = run_chain(
            data,
            made,
            build_regime(config),
            generations=GENERATIONS,
            seed=config.seed,
            shown=1,
            measure=Unmeasured(data),
        )
        for row in rows:
            found[:, chain, row.index] = torch.tensor(
                [row.metrics[name] for name in names], dtype=torch.float64
            )
    return found


SLOW = (
    "kde, accumulate",
    "kde, subsample",
    "kde, a row",
    "mixture, replace",
    "gaussian, resampled",
    "gaussian, schedule",
    "gaussian, biased pool",
    "categories, accumulate",
    "categories, fresh",
)
"""Chains that differ from another one by what a law of moments tells apart already: each costs a
second or two.
"""


@pytest.mark.parametrize(
    "case", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in CHAINS]
)
def test_chains_follow_what_is_predicted(case):
    model, regime, modality, chains = CHAINS[case]
    config, _, _ = parts({**modality, "n_train": N}, model, regime=regime)
    expected = predict(config, N, GENERATIONS)
    assert ("w2" in expected) == (case == "gaussian, w2")
    assert ("categories_alive" in expected) == (
        case in ("categories, replace", "categories, accumulate")
    )
    found = dict(
        zip(expected, chain_metrics(modality, model, regime, chains, list(expected)), strict=True)
    )
    for name, values in expected.items():
        for g in (0, 1, 3, GENERATIONS - 1):
            assert abs(z_score(found[name][:, g], values[g])) < 4, f"{name} at generation {g}"


def test_a_wrong_prediction_is_noticed():
    """The comparison tells blurred chains from those without a kernel, and few data from
    endless.
    """
    model, regime, modality, _ = CHAINS["kde, replace"]
    found = chain_metrics(modality, model, regime, 40, ["variance"])[0]
    assert z_score(found[:, -1], gaussian.replace_mle(N, GENERATIONS).variance) > 4
    assert z_score(found[:, -1], 1 + GENERATIONS * 0.16) < -4, "that of endless data"


class TestPredict:
    def test_nothing_is_said_where_nothing_is_known(self):
        known = {"modality": vectors(), "model": "gaussian"}
        for keys in (
            {"regime": {"kind": "sliding_window", "window": 2}},
            {"regime": {"kind": "mix", "real_fraction": [0.1, 0.2], "real": "fixed"}},
            {"samples": 100},
            {"model": {"kind": "ngram"}},
        ):
            config = validate_config({"name": "x", **known, **keys}, "test")
            assert predict(config, 200, 5) == {}
        assert predict(validate_config({"name": "x", **known, "samples": 200}, "test"), 200, 5)

    def test_a_window_of_one_is_replace(self):
        whole, window = (
            predict(parts(vectors(), "gaussian", regime=regime)[0], 200, 9)
            for regime in ("replace", {"kind": "sliding_window", "window": 1})
        )
        assert whole == window
        assert whole["variance"][8] == pytest.approx(gaussian.replace_mle(200, 9).variance)
        assert whole["mean_error"][8] == pytest.approx(
            3 * gaussian.replace_mle(200, 9).mean_variance
        )

    def test_w2_needs_one_normal_dimension(self):
        for keys, known in (
            ({"dimensions": 1}, True),
            ({"dimensions": 2}, False),
            ({"dimensions": 1, **ROW}, False),
        ):
            assert ("w2" in predict(parts(vectors(**keys), "gaussian")[0], 200, 3)) == known

    def test_many_categories_end_where_the_limit_is_off(self):
        config, _, _ = parts({**ZIPF, "n_train": 2000}, "categories")
        alive = predict(config, 2000, 110)["categories_alive"]
        exact = list(
            islice(categories.survivors(torch.tensor(config.modality.frequencies), 2000), 100)
        )
        assert alive[:100] == pytest.approx(exact, rel=0.01)
        assert alive[100:] == [None] * 10
        json.dumps(alive)
