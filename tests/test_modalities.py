"""Every modality that ships keeps the contracts; `check_modality` finds those that do not."""

from __future__ import annotations

import pytest
import torch

from imglab import check_modality
from imglab.config import kinds
from imglab.config.load import validate_config
from imglab.progress import Progress
from imglab.run.build import build_modality, build_models
from tests.test_loop import Adder, Counter
from tests.text_fixtures import TINY_MODEL, TINY_TEXT

QUICK = {
    "training": {"images": 64, "batch": 32},
    "fine_tuning": {"images": 32, "batch": 32},
    "steps": 2,
}
DIGITS = {
    "kind": "image",
    "n_train": 60,
    "n_test": 20,
    "n_fresh": 10,
    "extractor": {"kind": "classifier", "images": 256},
}
QUICK_VAE = {
    "kind": "vae",
    "hidden": [16],
    "latent": 4,
    "training": {"images": 256},
    "fine_tuning": {"images": 64},
}
QUICK_UNET = {"kind": "diffusion", "channels": [8], **QUICK}
CASES = {
    "image, autoencoder": (DIGITS, QUICK_VAE),
    "image, autoencoder, marked": (
        DIGITS,
        {**QUICK_VAE, "watermark": {"strength": 8.0}, "sampling_bias": 0.5},
    ),
    "image, population": (
        DIGITS,
        {"kind": "population", "models": [QUICK_UNET, QUICK_VAE], "shares": [0.3, 0.7]},
    ),
    "gaussian, by turns": (
        {"kind": "gaussian", "n_train": 80},
        {"kind": "alternating", "models": ["gaussian", {"kind": "kde", "bandwidth": 0.2}]},
    ),
    "text, marked": (TINY_TEXT, {"kind": "ngram", "order": 2, "watermark": {"strength": 3.0}}),
    "text, language model": (TINY_TEXT, TINY_MODEL),
    "text, language model, warped, bf16": (
        {**TINY_TEXT, "prompts": "original"},
        {
            **TINY_MODEL,
            "decoding": {"kind": "sampling", "temperature": 0.8, "top_k": 50, "top_p": 0.9},
            "precision": "bf16",
        },
    ),
    "text, n-grams": (TINY_TEXT, {"kind": "ngram", "order": 2}),
    "gaussian": ({"kind": "gaussian", "n_train": 80}, {"kind": "gaussian"}),
    "gaussian, blurred": ({"kind": "gaussian", "n_train": 80}, {"kind": "kde", "bandwidth": 0.2}),
    "gaussian, mixture": (
        {"kind": "gaussian", "n_train": 80, "components": 3},
        {"kind": "mixture", "components": 3},
    ),
    "categories": ({"kind": "categories", "categories": 30}, {"kind": "categories"}),
    "image, unconditional": (DIGITS, {"kind": "diffusion", "channels": [8, 8], **QUICK}),
    "image, conditional, guided": (
        DIGITS,
        {
            "kind": "diffusion",
            "channels": [8],
            **QUICK,
            "class_conditional": True,
            "sampling_bias": 0.5,
        },
    ),
    "image, ddpm sampler, bf16": (
        {**DIGITS, "extractor": "pixels"},
        {
            "kind": "diffusion",
            "channels": [8],
            **QUICK,
            "sampler": "ddpm",
            "precision": "bf16",
            "prediction": "epsilon",
        },
    ),
    "image, ddim sampler, attention": (
        {**DIGITS, "colour": "rgb", "size": 12},
        {"kind": "diffusion", "channels": [8, 16], **QUICK, "sampler": "ddim", "attention": True},
    ),
}


SLOW = ("image, ddpm sampler, bf16",)


@pytest.mark.parametrize(
    "case", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in CASES]
)
def test_what_ships_keeps_the_contracts(case):
    modality_section, model_section = CASES[case]
    config = validate_config(
        {"name": "check", "modality": modality_section, "model": model_section}, "test"
    )
    modality = build_modality(config)
    for model in build_models(config, modality):
        check_modality(modality, model)


def test_every_kind_that_ships_is_checked():
    checked = {section["kind"] for sections in CASES.values() for section in sections}
    by_their_own_tests = {"pipeline"}  # test_pipelines.py: they start from a folder
    assert checked == {*kinds.MODALITIES, *kinds.MODELS} - by_their_own_tests


def test_a_right_modality_of_a_third_party_passes():
    class Drawn(Counter):
        def render(self, shown, path):
            path.write_text(str(shown[-1].data.flatten().tolist()))

    check_modality(Drawn(), Adder())


class WrongFeatures(Counter):
    def features(self, samples):
        return samples.data.double()


class Forgetful(Counter):
    def render(self, shown, path):
        path.write_text(str(torch.rand(1)))


class Silent(Adder):
    def fit(self, train, *, start, seed, resume=None):
        yield Progress("fit", 1, 1)


class Restless(Adder):
    def draw(self, indices, *, conditions, seed):
        return super().draw(range(len(indices)), conditions=conditions, seed=seed)


class Careless(Adder):
    def fit(self, train, *, start, seed, resume=None):
        torch.rand(1)
        yield Progress("fit", 1, 1)
        return Adder(1)


@pytest.mark.parametrize(
    ("modality", "model", "message"),
    [
        (WrongFeatures(), Adder(), "features must be float32"),
        (Counter(), Silent(), "fit must return the new model"),
        (Counter(), Restless(), "must depend on \\(seed, i\\) alone"),
        (Counter(), Adder(), "render must write the file"),
        (Forgetful(), Adder(), "render must give the same bytes"),
    ],
)
def test_broken_promises_are_named(modality, model, message):
    with pytest.raises(AssertionError, match=message):
        check_modality(modality, model)


def test_moving_the_global_random_state_is_found():
    class Drawn(Counter):
        def render(self, shown, path):
            path.write_text("the same")

    with pytest.raises(AssertionError, match="global random state was moved"):
        check_modality(Drawn(), Careless())
