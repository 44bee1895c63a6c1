"""Pipelines that cannot be trained, and settings that do not fit them, are refused by name."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from diffusers import CogVideoXDDIMScheduler, DDPMScheduler, FlowMatchEulerDiscreteScheduler

from imglab.errors import InputError
from imglab.images.diffusion.settings import PipelineSettings
from imglab.images.pipeline_denoisers import denoiser_of
from imglab.images.pipeline_drawing import steps_of
from imglab.images.pipelines import PipelineModel
from imglab.model import GenerativeModel
from imglab.running.build import build
from imglab.samples import TrainingSet
from tests.images.pipeline_chains import DIGITS, captions, chain, saved_unet
from tests.images.test_diffusion import finish


def pipeline_of(model: GenerativeModel) -> Any:
    assert isinstance(model, PipelineModel)
    return model.pipeline


@pytest.mark.parametrize(
    ("name", "model", "data", "message"),
    [
        (
            "flux",
            {"sampler": "ddim"},
            {},
            r"model.sampler: 'ddim' is not a sampler for rectified flow",
        ),
        ("flux", {}, {"size": 18}, r"model.name: .*set modality.size to a multiple of 4"),
        (
            "stable_diffusion_3",
            {},
            {"colour": "grey"},
            r"draws images of 3 channels, the data have 1",
        ),
        ("pixart", {}, {"size": 17}, r"model.name: .*set modality.size to a multiple of 4"),
    ],
)
def test_what_a_transformer_that_reads_text_cannot_do(
    name, model, data, message, pipelines, captioned
):
    with pytest.raises(InputError, match=message):
        build(chain(pipelines, name, captions(captioned, **data), **model), "test")


def test_times_that_are_not_the_noise_are_refused(pipelines, captioned, monkeypatch):
    """As CogView4's: its network is told evenly spaced times, whatever noise there is at them."""
    spaced = FlowMatchEulerDiscreteScheduler.set_timesteps

    def apart(self, *given, **keys):
        spaced(self, *given, **keys)
        self.sigmas = self.sigmas**2

    monkeypatch.setattr(FlowMatchEulerDiscreteScheduler, "set_timesteps", apart)
    with pytest.raises(InputError, match="times in a way of its own"):
        build(chain(pipelines, "stable_diffusion_3", captions(captioned)), "test")


def test_a_learned_variance_is_left_alone(pipelines, tmp_path):
    learned = DDPMScheduler(variance_type="learned_range")
    built = saved_unet(pipelines, tmp_path, learned, out_channels=2)
    model = built.models[0]
    fitted = finish(model.fit(TrainingSet.of(built.modality.real("train")), start=model, seed=1))
    before, after = model.network.conv_out.weight, fitted.network.conv_out.weight
    assert not torch.equal(before[0], after[0])
    assert torch.allclose(before[1], after[1], rtol=1e-3), "but for AdamW's decay"
    assert fitted.sample(3, seed=1).data.shape == (3, 1, 8, 8)
    with pytest.raises(InputError, match="predicts 3 channels of 1"):
        saved_unet(pipelines, tmp_path, out_channels=3)


def test_no_more_steps_than_its_scheduler_has_times(pipelines, tmp_path):
    built = saved_unet(pipelines, tmp_path, DDPMScheduler(num_train_timesteps=50)).models[0]
    assert steps_of(PipelineSettings(name="any"), built.pipeline) == 50
    with pytest.raises(InputError, match=r"model\.steps: 60 are more than the 50"):
        build(chain(tmp_path, "other", steps=60), "test")


@pytest.mark.parametrize(
    ("name", "modality", "told"),
    [
        ("ddpm", {"size": 16}, "draws images of 8 x 8 with 1 channels, the data are 16 x 16"),
        ("ddpm", {"colour": "rgb"}, "modality.size: 8, modality.colour: grey"),
        ("latent", {"size": 12}, "draws images of 8 x 8"),
        ("stable_diffusion", {"size": 16}, "draws images of 3 channels, the data have 1"),
        (
            "stable_diffusion",
            {"size": 18, "colour": "rgb"},
            "multiples of 4 pixels, the data are 18 x 18",
        ),
        ("nothing", {}, "there is no folder"),
    ],
)
def test_what_does_not_fit(name, modality, told, pipelines):
    with pytest.raises(InputError, match=told):
        build(chain(pipelines, name, {**DIGITS, **modality}), "test")


@pytest.mark.parametrize("name", ["ddpm", "latent"])
def test_guidance_needs_a_label_for_none(name, pipelines):
    with pytest.raises(InputError, match="below 1 is guidance"):
        build(chain(pipelines, name, sampling_bias=0.5), "test")
    fewer = {**DIGITS, "classes": ["1", "2", "3"]}
    with pytest.raises(InputError, match="below 1 is guidance"):
        build(chain(pipelines, "by_class", fewer, sampling_bias=0.5), "test")


def test_other_architectures_are_refused_by_name(pipelines, captioned):
    built = build(chain(pipelines, "stable_diffusion", captions(captioned)), "test")
    for part in ("vae", "tokenizer"):
        broken = copy.copy(pipeline_of(built.models[0]))
        broken.__dict__[part] = None
        with pytest.raises(InputError, match=f"has no {part}"):
            denoiser_of(broken, built.modality.spec, "{}")


@pytest.mark.parametrize(
    ("changes", "parts", "told"),
    [
        ({"time_cond_proj_dim": 8}, {}, "how far to follow the prompt"),
        ({"addition_embed_type": "text_time"}, {}, "addition_embed_type: text_time"),
        ({"num_class_embeds": 10}, {}, "num_class_embeds: 10"),
        ({"out_channels": 8}, {}, "or predicts more"),
        ({}, {"controlnet": object()}, "by its controlnet"),
        (
            {},
            {"scheduler": CogVideoXDDIMScheduler(prediction_type="v_prediction")},
            "adds noise in a way",
        ),
    ],
)
def test_a_unet_that_is_told_more_is_refused(changes, parts, told, pipelines, captioned):
    built = build(chain(pipelines, "stable_diffusion", captions(captioned)), "test")
    broken = copy.copy(pipeline_of(built.models[0]))
    broken.__dict__["unet"] = copy.deepcopy(broken.unet)
    broken.unet.register_to_config(**changes)
    broken.__dict__.update(parts)
    with pytest.raises(InputError, match=told):
        denoiser_of(broken, built.modality.spec, "{}")
