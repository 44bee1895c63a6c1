"""Remedies keep their promises with every kind of model that takes them, and are refused early."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from imglab import regimes
from imglab.check import check_remedy
from imglab.config import kinds
from imglab.config.load import dump_config, validate_config
from imglab.config.remedy_sections import REMEDIES
from imglab.errors import InputError
from imglab.loop import run_chain
from imglab.progress import Progress
from imglab.remedies import Remedy
from imglab.remedies.anneal import Anneal
from imglab.remedies.negative_guidance import NegativeGuidance
from imglab.remedies.neon import Neon
from imglab.remedies.token_editing import TokenEditing
from imglab.remedies.truncated_loss import TruncatedLoss
from imglab.remedies.weights import Weights, origin_weights
from imglab.running.build import build, build_modality, build_models
from imglab.running.cache import RunCache
from imglab.store.base import MemoryStore
from tests.test_check import DIGITS, QUICK_UNET, QUICK_VAE
from tests.test_loop import Adder, Counter, gaussian
from tests.text_fixtures import TINY_MODEL, TINY_TEXT

VECTORS = {"kind": "gaussian", "n_train": 40, "n_test": 30, "components": 2}
DATA: dict[str, Any] = {
    "gaussian": VECTORS,
    "kde": VECTORS,
    "mixture": VECTORS,
    "categories": {"kind": "categories", "n_train": 40, "n_test": 30, "categories": 5},
    "vae": DIGITS,
    "flow": DIGITS,
    "diffusion": DIGITS,
    "language_model": {**TINY_TEXT, "n_fresh": 0},
}
MODELS: dict[str, Any] = {
    "flow": {
        **QUICK_UNET,
        "prediction": "flow_image",
        "patch": 2,
        "sampler": "sde-dpm-solver++",
        "precision": "bf16",
    },
    "vae": QUICK_VAE,
    "diffusion": {**QUICK_UNET, "spacing": "karras"},
    "language_model": TINY_MODEL,
}
NEON = (Neon(w=0.5, samples=8), Neon(w=0.0))
WEIGHTS = (Weights(real=0.618), Weights(real=0.5))
ANNEAL = (Anneal(start=0.2, decay=0.5), Anneal(start=0.0))
GUIDANCE = (NegativeGuidance(w=0.5, samples=8), NegativeGuidance(w=0.0))
CASES = [
    *[(kind, *ANNEAL) for kind in ("gaussian", "kde", "mixture")],
    *[(kind, *NEON) for kind in ("gaussian", "mixture", "categories")],
    *[(kind, *WEIGHTS) for kind in ("gaussian", "kde", "categories")],
]
SLOWER = [
    ("language_model", TruncatedLoss(threshold=0.05), TruncatedLoss(threshold=1.0)),
    ("language_model", TokenEditing(threshold=0.05), TokenEditing(threshold=1.0)),
    ("diffusion", *ANNEAL),
    *[(kind, *GUIDANCE) for kind in ("diffusion", "flow", "language_model")],
    *[(kind, *NEON) for kind in ("vae", "diffusion", "language_model")],
    *[(kind, *WEIGHTS) for kind in ("vae", "diffusion", "language_model")],
]


def subject(kind):
    tree = {"name": "check", "modality": DATA[kind], "model": MODELS.get(kind, kind)}
    config = validate_config(tree, "config")
    modality = build_modality(config)
    (model,) = build_models(config, modality)
    return modality, model


@pytest.mark.parametrize(
    ("kind", "remedy", "neutral"),
    [*CASES, *[pytest.param(*case, marks=pytest.mark.slow) for case in SLOWER]],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_remedy_keeps_its_promises(kind, remedy, neutral):
    check_remedy(remedy, *subject(kind), neutral=neutral)


def config(**changes):
    model = changes.get("model", "gaussian")
    tree = {
        "name": "x",
        "modality": changes.get("modality") or DATA[model],
        "model": model,
        "generations": 2,
        **changes,
    }
    return validate_config(tree, "config")


def test_a_config_without_a_remedy_is_written_as_before():
    assert "remedy" not in dump_config(config())
    assert "remedy" not in dump_config(config(remedy=None))
    assert config(remedy={"kind": "neon", "w": 1.0}) == config(remedy=[{"kind": "neon", "w": 1.0}])


def problems(**changes):
    with pytest.raises(InputError) as caught:
        build(config(**changes), "config")
    return str(caught.value)


def population(*models):
    shares = [1 / len(models)] * len(models)
    return {"kind": "population", "models": list(models), "shares": shares}


def test_a_population_weighs_samples_if_all_members_do_and_takes_no_other_remedy():
    weights = {"kind": "weights", "real": 0.5}
    assert build(config(remedy=weights, **of_two("gaussian", "kde")), "config").remedies
    assert "MixtureModel does not" in problems(remedy=weights, **of_two("gaussian", "mixture"))
    neon = {"kind": "neon", "w": 0.5}
    assert "Population does not" in problems(remedy=neon, **of_two("gaussian", "gaussian"))


def of_two(*models):
    return {"modality": VECTORS, "model": population(*models)}


@pytest.mark.parametrize(
    ("remedy", "model", "message"),
    [
        ({"kind": "neon", "w": 11.0}, "gaussian", "remedy.w: must be less than or equal to 10"),
        ({"kind": "weights", "real": 0.0}, "gaussian", "remedy.real: must be greater than 0"),
        ({"kind": "neon"}, "gaussian", "remedy.w: this key is missing"),
        ({"kind": "neom", "w": 1.0}, "gaussian", "remedy.kind: 'neom' is not a known kind"),
        ([{"kind": "neon", "w": "1"}], "gaussian", "remedy.0.w: must be a valid number"),
        ({"kind": "neon", "w": 1.0}, "kde", "remedy.kind: neon needs a model with named weights"),
        ({"kind": "weights", "real": 0.5}, "mixture", "remedy.kind: weights needs a model whose"),
        ({"kind": "anneal", "start": -1.0}, "gaussian", "remedy.start: must be greater than or"),
        ({"kind": "anneal", "start": 0.1}, "categories", "remedy.kind: anneal needs a model"),
        ({"kind": "negative_guidance", "w": 1.0}, "kde", "remedy.kind: negative_guidance needs"),
        ({"kind": "truncated_loss"}, "gaussian", "remedy.kind: truncated_loss needs a model"),
        ({"kind": "token_editing"}, "gaussian", "remedy.kind: token_editing needs a model"),
        ({"kind": "token_editing", "threshold": 1.5}, "gaussian", "remedy.threshold: must be less"),
        ({"kind": "nowhere:Remedy"}, "gaussian", "remedy.kind: cannot import 'nowhere:Remedy'"),
        ({"kind": "tests.test_loop:Adder"}, "gaussian", "is not a Remedy"),
    ],
)
def test_bad_input_names_the_key(remedy, model, message):
    assert message in problems(remedy=remedy, model=model)


@pytest.mark.parametrize(
    ("model", "most"),
    [
        ({"kind": "diffusion", "spacing": "karras", "stop": 1.5}, 3),
        ({"kind": "stopped_diffusion", "stop": 8.5}, 10),
    ],
)
def test_a_sampler_stops_no_earlier_than_a_saved_model_may(model, most):
    data = DATA.get(model["kind"], VECTORS)
    anneal = [{"kind": "anneal", "start": 0.75, "decay": 0.5}, {"kind": "anneal", "start": 0.75}]
    assert build(config(modality=data, model=model, remedy=anneal), "config").remedies
    message = f"and start 2 come to more than {most}: lower one of them"
    alone = {"kind": "anneal", "start": 2.0}
    assert message in problems(modality=data, model=model, remedy=alone)
    together = [{"kind": "anneal", "start": 1.0}, {"kind": "anneal", "start": 1.0}]
    assert message in problems(modality=data, model=model, remedy=together)


def test_of_several_remedies_the_place_is_named():
    remedies = [{"kind": "weights", "real": 0.5}, {"kind": "neon", "w": 1.0}]
    assert "remedy.1.kind: neon needs" in problems(remedy=remedies, model="kde")


class Doubled(Remedy):
    """Another package's remedy: fits twice as far away."""

    def __init__(self, times: int = 2):
        self.times = times

    def after(self, fit, fitted):
        yield Progress("fit", 1, 1)
        return Adder(fitted.value * self.times)


def test_another_packages_remedy_is_named_by_its_class():
    section = {"kind": "tests.remedies.test_contract:Doubled", "times": 3}
    (remedy,) = build(config(remedy=section), "config").remedies
    assert isinstance(remedy, Doubled)
    assert remedy.times == 3
    assert "has no such key" in problems(remedy={**section, "time": 3})


def test_a_remedy_that_a_package_installs_has_a_name(monkeypatch):
    points = {"doubled": "tests.remedies.test_contract:Doubled"}
    monkeypatch.setattr(kinds, "installed", lambda group: points if "rem" in group else {})
    (remedy,) = build(config(remedy="doubled"), "config").remedies
    assert isinstance(remedy, Doubled)
    assert "remedy.kind: 'no' is not a known kind" in problems(remedy=["no"]).replace(".0.", ".")


def test_remedies_apply_in_order_and_leave_generation_0_alone():
    store = MemoryStore()
    remedies = [Doubled(2), Doubled(5)]
    chain = run_chain(
        Counter(),
        Adder(),
        regimes.replace,
        generations=3,
        samples=4,
        store=store,
        remedies=remedies,
    )
    assert len(list(chain)) == 3
    values = [vars(store.model(g))["value"] for g in range(3)]
    assert values == [1, 2 * 10, 21 * 10]


def test_all_remedies_have_a_class_and_a_paper():
    import inspect

    names = {section.model_fields["kind"].default for section in REMEDIES}
    assert names == set(kinds.REMEDIES)
    for target in kinds.REMEDIES.values():
        remedy = kinds.resolve(target)
        assert issubclass(remedy, Remedy)
        assert "2" in (inspect.getmodule(remedy).__doc__ or "")


def test_neon_refuses_weights_of_another_architecture():
    _, two = gaussian()
    model = two._fitted({"mean": torch.zeros(2), "covariance": torch.eye(2)}, 4)
    other = two._fitted({"mean": torch.zeros(3), "covariance": torch.eye(3)}, 4)
    with pytest.raises(ValueError, match="architecture differs: mean is float32"):
        model.moved_away(other, 1.0)


def test_weights_of_a_training_set_have_mean_1():
    origin = torch.tensor([-1, 0, 0, 1], dtype=torch.int16)
    weights = origin_weights(origin, 0.5)
    torch.testing.assert_close(weights, torch.tensor([2, 2 / 3, 2 / 3, 2 / 3]).double())
    assert origin_weights(origin, 0.25) is None
    assert origin_weights(origin[:1], 0.5) is None


def test_generation_0_is_shared_unless_a_remedy_changes_it(tmp_path):
    def folder(**changes):
        return RunCache.below(tmp_path, config(**changes), 1).generation0

    neon = {"kind": "neon", "w": 1.0}
    assert folder(remedy=neon) == folder()
    assert folder(remedy={**neon, "first": 0}) != folder()
    assert folder(remedy={"kind": "tests.remedies.test_contract:Doubled"}) != folder()
