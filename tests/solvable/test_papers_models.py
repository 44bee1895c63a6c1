"""The papers' own small models: contracts, chains against their laws, and what is refused."""

from __future__ import annotations

import pytest
import torch

from imglab import check_modality
from imglab.config.load import validate_config
from imglab.errors import InputError
from imglab.samples import Samples
from imglab.solvable.theory import labels
from imglab.solvable.theory.predict import predict
from imglab.studies.claims.catalog import Catalog, TheoryStatement
from imglab.studies.claims.theory import theory_finding
from tests.solvable.chains import parts

SMALL = {"n_train": 30, "n_test": 30}
CATEGORIES = {"kind": "categories", "categories": 8, **SMALL}
KINDS = {
    "bernoulli": ({"kind": "counts", "distribution": "bernoulli", "mean": 0.4, **SMALL}, "rate"),
    "poisson": ({"kind": "counts", "dimensions": 3, **SMALL}, "rate"),
    "regression": ({"kind": "regression", "dimensions": 4, **SMALL}, "ridge"),
    "fresh inputs": (
        {"kind": "regression", "dimensions": 4, "inputs": "fresh", **SMALL},
        {"kind": "ridge", "penalty": 0.1},
    ),
    "labels": (
        {"kind": "labels", "dimensions": 6, **SMALL},
        {"kind": "labeller", "verifier": 0.5},
    ),
    "oracle": (
        {"kind": "labels", "dimensions": 6, **SMALL},
        {"kind": "labeller", "verifier": "oracle", "estimator": "mean"},
    ),
    "memorizer": (CATEGORIES, "memorizer"),
    "preferences": (CATEGORIES, "preferences"),
    "stopped diffusion": ({"kind": "gaussian", **SMALL}, "stopped_diffusion"),
}


SLOW = ("poisson", "fresh inputs", "oracle", "preferences")
CONTRACTS = [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in KINDS]


@pytest.mark.parametrize("name", CONTRACTS)
def test_contracts(name):
    _, modality, model = parts(*KINDS[name])
    check_modality(modality, model)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_has_a_law(name, monkeypatch):
    monkeypatch.setattr(labels, "DRAWS", 1 << 10)
    config, modality, _ = parts(*KINDS[name])
    law = predict(config, len(modality.real("train")), 3)
    assert law
    assert all(value is not None for curve in law.values() for value in curve)


@pytest.mark.parametrize("model", ["rate", "ridge", "labeller", "memorizer"])
def test_a_model_of_other_data_is_refused(model):
    with pytest.raises(InputError, match=f"`{model}` .* \\(use it with modality.kind"):
        parts({"kind": "gaussian"}, model)


def test_a_chance_is_below_one():
    with pytest.raises(InputError, match="mean is the chance of a 1"):
        parts({"kind": "counts", "distribution": "bernoulli", "mean": 1.0}, "rate")


def test_one_choice_of_the_user_is_a_draw_of_the_model():
    """With rewards that are all the same nothing is preferred."""
    _, _, one = parts(CATEGORIES, {"kind": "preferences", "choices": 1})
    _, _, alike = parts(CATEGORIES, {"kind": "preferences", "choices": 5, "reward": 0.0})
    counts = torch.tensor([400, 300, 200, 100, 50, 30, 10, 0])
    for model in (one, alike):
        fitted = type(model)(model._settings, true=model.true, counts=counts)
        drawn = torch.bincount(fitted.sample(4000, seed=1).data[:, 0], minlength=8) / 4000
        assert drawn == pytest.approx(counts / counts.sum(), abs=0.03)


def test_the_verifier_lets_pass_what_it_agrees_with():
    _, _, model = parts(*KINDS["labels"])
    direction = torch.tensor([0.1, 1, 0, 0, 0, 1], dtype=torch.float64)
    fitted = type(model)(model._settings, data=model._data, direction=direction, seen=1)
    drawn = fitted.sample(300, seed=0).data.double()
    points, signs = drawn[:, :-1], drawn[:, -1]
    assert bool((signs * (points @ direction) >= 0).all())
    judged = 0.5 * points[:, 0] + 0.75**0.5 * points[:, 1]
    assert bool((signs * judged >= 0).all())


def test_what_a_memorizer_has_not_seen_is_its_error():
    _, modality, model = parts(CATEGORIES, "memorizer")
    counts = torch.tensor([5, 1, 0, 2, 0, 0, 0, 0])
    fitted = type(model)(model._settings, true=model.true, counts=counts)
    samples = Samples.drawn(torch.zeros(1, 1, dtype=torch.int64))
    error = fitted.metrics(samples, generation0=fitted, seed=0).values["test_error"]
    assert error == pytest.approx(float(modality.frequencies[[2, 4, 5, 6, 7]].sum()))


class TestPredictions:
    def test_a_remedy_without_a_closed_form_has_no_law(self):
        gaussian = {"modality": {"kind": "gaussian", "n_train": 20}, "model": "gaussian"}
        regime = {"kind": "fresh_data", "fresh": 20}

        def law(**keys):
            tree = {"name": "x", **gaussian, "regime": regime, **keys}
            return predict(validate_config(tree, "test"), 20, 3)

        weighted = law(remedy={"kind": "weights", "real": 0.618})
        assert weighted["mean_error"][2] < law()["mean_error"][2]
        assert law(remedy={"kind": "neon", "w": 0.5}) == {}
        assert law(remedy={"kind": "weights", "real": 0.6, "first": 2}) == {}
        assert law(remedy={"kind": "weights", "real": 0.6}, regime="accumulate") == {}
        unbiased = {"kind": "gaussian", "estimator": "unbiased"}
        assert law(remedy={"kind": "weights", "real": 0.6}, model=unbiased) == {}

    @pytest.mark.parametrize(
        ("modality", "model", "keys"),
        [
            ({"kind": "regression", "dimensions": 30}, "ridge", {}),
            ({"kind": "regression"}, "ridge", {"regime": {"kind": "mix", "real_fraction": 0.5}}),
            ({"kind": "regression", "inputs": "fresh"}, "ridge", {"regime": "accumulate"}),
            ({"kind": "labels", "dimensions": 30}, "labeller", {}),
            ({"kind": "categories"}, "preferences", {"regime": "accumulate"}),
            ({"kind": "counts"}, "rate", {"samples": 90}),
        ],
    )
    def test_nothing_is_said_where_nothing_is_known(self, modality, model, keys):
        config, _, _ = parts({**modality, **SMALL}, model, **keys)
        assert predict(config, 30, 3) == {}


def shortened(statement: TheoryStatement, replicas: int) -> TheoryStatement:
    return statement.model_copy(update={"replicas": replicas})


def test_a_law_is_judged_beside_a_wrong_one():
    """Chains of which one law is true, few of which do not tell it from a similar one."""
    statement = Catalog().claims["regression_accumulates"].theory[0]
    statement = shortened(statement, 40).model_copy(update={"generations": [0, 4]})
    finding = theory_finding(statement)
    assert finding.holds
    assert finding.null["rejected"]
    assert finding.power is not None
    assert 0.2 < finding.power < 0.8

    changes = {"wrong": {"modality.noise": 1.02}, "replicas": 20}
    similar = statement.model_copy(update=changes)
    undecided = theory_finding(similar)
    assert not undecided.holds
    assert not undecided.outside
    assert "times as many chains would tell the laws apart" in undecided.why


LAWS = [
    pytest.param(statement, id=f"{claim.name}-{number}")
    for claim in Catalog().claims.values()
    for number, statement in enumerate(claim.theory)
]


def test_each_law_has_a_wrong_one_and_chains_enough():
    for parameter in LAWS:
        (statement,) = parameter.values
        assert isinstance(statement, TheoryStatement)
        assert statement.wrong, statement.says
        assert statement.replicas >= 300, statement.says
        assert statement.least_z >= 6, statement.says
        assert statement.most_z <= 4, statement.says


@pytest.mark.slow
@pytest.mark.parametrize("statement", LAWS)
def test_chains_follow_their_law_and_no_other(statement):
    finding = theory_finding(statement)
    assert finding.holds, finding.why
