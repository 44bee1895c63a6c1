"""What remedies leave of each other on the same model, and what is written of it."""

from __future__ import annotations

import pytest
import torch

from imglab import load_model, seeds
from imglab.images.diffusion.model import DiffusionModel
from imglab.images.diffusion.networks import new_network
from imglab.images.diffusion.settings import DiffusionSettings
from imglab.text.language_model import LanguageModel
from tests.remedies.test_contract import problems
from tests.text.models import prompts_of
from tests.text_fixtures import text_parts


def image_model(seed=1, **settings):
    section = DiffusionSettings(channels=[8], steps=2, layout="nchw", **settings)
    with seeds.isolated(seed, "weights"):
        network = new_network(section, (1, 8, 8), None)
    return DiffusionModel(section, network=network)


def images(model):
    return model.sample(2, seed=3).data.tolist()


def test_a_model_that_is_moved_stays_guided(tmp_path):
    model, other = image_model(1), image_model(2)
    guided = model.moved_away(other, 0.5).guided_away(other, 1.0)
    moved = model.guided_away(other, 1.0).moved_away(other, 0.5)
    assert images(moved) == images(guided) != images(model.moved_away(other, 0.5))
    moved.save(tmp_path / "model")
    assert images(load_model(tmp_path / "model")) == images(moved)


def test_a_model_is_guided_once():
    guided = image_model(1).guided_away(image_model(2), 1.0)
    with pytest.raises(ValueError, match="another network already"):
        guided.guided_away(image_model(3), 1.0)
    twice = [{"kind": "negative_guidance", "w": w} for w in (0.5, 0.0, 1.0)]
    message = "remedy.2.kind: drawing can be led away from one model only, and remedy.0 does that"
    assert message in problems(remedy=twice, model="diffusion")


@pytest.fixture(scope="module")
def text():
    """A modality, and two language models with different weights."""
    modality, model = text_parts()
    keys = {"tokenizer": modality.tokenizer, "block": modality.block}
    networks = [model._new_network(seed) for seed in (1, 2)]
    return modality, *(LanguageModel(model._settings, network=each, **keys) for each in networks)


def test_a_saved_language_model_is_guided_still_by_a_whole_number(text, tmp_path):
    modality, model, other = text
    guided = model.guided_away(other, 1)
    guided.save(tmp_path / "model")
    opened = load_model(tmp_path / "model")

    prompts = prompts_of(modality, 2)
    drawn = [each.sample(2, conditions=prompts, seed=1).data for each in (guided, opened)]
    assert torch.equal(*drawn)
    assert opened.description() == guided.description()


def test_a_card_says_how_the_chain_drew_otherwise_than_its_code(text):
    _, model, other = text
    plain = image_model(spacing="karras")
    led = "led away from the network in `negative/` with strength 0.5"
    image_card = plain.guided_away(image_model(2, spacing="karras"), 0.5).stopped(0.25).card()
    assert f"{led}, stopped early at time 0.25; the code below draws without" in image_card
    assert f"{led}; the code below draws without" in model.guided_away(other, 0.5).card()
    assert not any("led away" in card or "early" in card for card in (plain.card(), model.card()))
