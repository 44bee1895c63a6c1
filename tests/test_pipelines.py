"""Pretrained pipelines: opened as they are, fine-tuned, drawn from, saved so that diffusers opens them again."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import (
    CogVideoXDDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    UNet2DModel,
)
from huggingface_hub.utils import filter_repo_objects

from imglab import Run, check_modality, distributed, load_model, seeds
from imglab.config.load import validate_config
from imglab.errors import InputError, Stopped
from imglab.images import captured_inputs, denoising
from imglab.images.captured_inputs import Flow, plain_keys
from imglab.images.denoisers import denoiser_of
from imglab.images.extractor_settings import ClipSettings, DinoSettings
from imglab.images.pipelines import _sampler, _steps
from imglab.images.pretrained_features import Clip, Dino
from imglab.images.settings import PipelineSettings
from imglab.run.build import build, build_modality
from imglab.samples import TrainingSet
from imglab.stages import draw
from tests.test_images import finish
from tests.test_run_directory import hashes

DIGITS = {
    "kind": "image",
    "n_train": 60,
    "n_test": 30,
    "extractor": {"kind": "classifier", "images": 256},
}
QUICK = {
    "steps": 2,
    "sampling_batch": 8,
    "training": {"images": 32, "batch": 16},
    "fine_tuning": {"images": 32, "batch": 16},
}


def chain(pipelines, name, modality=DIGITS, **model):
    section = {"kind": "pipeline", "name": str(pipelines / name), **QUICK, **model}
    tree = {"name": "tuned", "generations": 2, "samples": 16, "shown": 4, "threads": 1}
    return validate_config({**tree, "modality": modality, "model": section}, "test")


def captions(captioned, **changes):
    source = {"kind": "captioned_folder", "path": str(captioned)}
    return {"kind": "image", "source": source, "n_test": 6, "extractor": "pixels", **changes}


CASES = {
    "ddpm": {},
    "ddim_bf16": {},
    "by_class": {"sampling_bias": 0.5},
    "latent": {"sampler": "dpm-solver++"},
    "dit": {"sampling_bias": 0.5, "lora": {"targets": ["to_q", "to_v"]}},
}


@pytest.mark.parametrize("name", CASES)
def test_keeps_the_contracts(name, pipelines):
    built = build(chain(pipelines, name, **CASES[name]), "test")
    check_modality(built.modality, built.models[0], train_on=24)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("stable_diffusion", {"prompt": "a photo of {}"}),
        ("stable_diffusion_xl", {"lora": {}, "sampling_bias": 0.2}),
        pytest.param("pixart", {"sampling_bias": 0.5}, marks=pytest.mark.slow),
        pytest.param(
            "stable_diffusion_3", {"lora": {}, "sampling_bias": 0.2}, marks=pytest.mark.slow
        ),
        pytest.param("flux", {}, marks=pytest.mark.slow),
    ],
)
def test_text_to_image_keeps_the_contracts(name, changes, pipelines, captioned):
    built = build(chain(pipelines, name, captions(captioned), **changes), "test")
    check_modality(built.modality, built.models[0], train_on=8)


@pytest.mark.parametrize("name", ["pixart", "stable_diffusion_3", "flux"])
def test_a_transformer_is_trained_on_what_its_pipeline_gives_it(name, pipelines, captioned):
    """One call of the pipeline's own: for the same latents, time and prompt the prediction is the pipeline's."""
    model = build(chain(pipelines, name, captions(captioned)), "test").models[0]
    pipeline, seen = model.pipeline, []
    denoiser = model._denoiser(pipeline)
    handle = pipeline.transformer.register_forward_hook(
        lambda _, given, keys, made: seen.append(((*given, *keys.values())[0], made[0])),
        with_kwargs=True,
    )
    prompts = model._spec.conditions[:2]
    size = {
        "height": 16,
        "width": 16,
        "num_inference_steps": 2,
        "guidance_scale": 1.0,
        "output_type": "latent",
    }
    pipeline(
        list(prompts), **size, generator=torch.Generator().manual_seed(0), **plain_keys(pipeline)
    )
    handle.remove()
    latents, made = seen[0]
    packed = latents.dim() == 3
    noisy = (
        captured_inputs._unpacked(latents, torch.Size((2, *denoiser.shape))) if packed else latents
    )
    last = torch.full((2,), denoiser.noising.config.num_train_timesteps - 1)
    with torch.no_grad():
        predicted = denoiser.predict(pipeline.transformer, noisy, last, torch.tensor([0, 1]))
    expected = captured_inputs._unpacked(made, noisy.shape) if packed else made[:, : noisy.shape[1]]
    torch.testing.assert_close(predicted, expected)


class TestFlow:
    def test_adds_noise_as_its_scheduler_does(self):
        scheduler, noising = FlowMatchEulerDiscreteScheduler(), Flow(1000)
        clean, noise = torch.randn(2, 5, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        times = torch.tensor([0, 1, 499, 998, 999])
        expected = scheduler.scale_noise(clean, (times + 1).float(), noise)
        torch.testing.assert_close(noising.add_noise(clean, noise, times), expected)

    def test_its_target_leads_the_scheduler_back_to_the_image(self):
        scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
        clean, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        scheduler.set_timesteps(7)
        images = noise
        for time in scheduler.timesteps:
            images = scheduler.step(noise - clean, time, images).prev_sample
        torch.testing.assert_close(images, clean)
        step = denoising._Step(clean, None, noise, noise, torch.tensor([10]))
        assert torch.equal(denoising._target(Flow(1000), clean, step), noise - clean)


def test_packed_latents_are_those_of_the_pipeline():
    latents = torch.arange(2 * 4 * 6 * 8.0).view(2, 4, 6, 8)
    packed = captured_inputs._packed(latents)
    assert torch.equal(packed, FluxPipeline._pack_latents(latents, 2, 4, 6, 8))
    assert torch.equal(captured_inputs._unpacked(packed, latents.shape), latents)


@pytest.mark.parametrize(
    ("name", "model", "data", "message"),
    [
        (
            "flux",
            {"sampler": "ddim"},
            {},
            r"model.sampler: 'ddim' is no sampler for rectified flow",
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


def test_a_chain_starts_from_the_pretrained_weights_and_changes_only_the_network(
    pipelines, captioned, tmp_path
):
    config = chain(pipelines, "stable_diffusion", captions(captioned))
    run = Run(config, tmp_path / "run")
    found = [generation.index for generation in run.generations()]
    assert found == [0, 1]
    opened = DiffusionPipeline.from_pretrained(tmp_path / "run/generation_001/model")
    assert type(opened).__name__ == "StableDiffusionPipeline"
    before = DiffusionPipeline.from_pretrained(pipelines / "stable_diffusion")
    for part in ("vae", "text_encoder"):
        weights = [getattr(each, part).state_dict() for each in (before, opened)]
        assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    moved = [
        (a - b).abs().max()
        for a, b in zip(before.unet.parameters(), opened.unet.parameters(), strict=True)
    ]
    assert 0 < float(max(moved)) < 0.01, "fine-tuned from where it was"
    told = json.loads((tmp_path / "run/generation_001/metrics.json").read_text())
    assert {"hue_drift", "saturation_drift"} <= set(told)
    assert json.loads((tmp_path / "run/generation_001/exhibit.json").read_text())["shown"][0][
        "label"
    ] in (
        "a red one",
        "a green one",
        "a blue one",
        "dark",
    )


def test_an_export_has_the_prompts(pipelines, captioned, tmp_path):
    from imglab.run.export import export

    run = Run(chain(pipelines, "stable_diffusion", captions(captioned)), tmp_path / "run")
    next(run.generations())
    export(f"{tmp_path / 'run'}@0", tmp_path / "out")
    lines = [
        json.loads(line) for line in (tmp_path / "out/metadata.jsonl").read_text().splitlines()
    ]
    assert len(lines) == 16
    assert {line["text"] for line in lines} <= {"a red one", "a green one", "a blue one", "dark"}
    again = build_modality(chain(pipelines, "stable_diffusion", captions(tmp_path / "out")))
    assert len(again.real("train")) + len(again.real("test")) == 16


def test_the_same_run_gives_the_same_bytes(pipelines, tmp_path):
    for folder in ("a", "b"):
        shutil.copytree(pipelines / "dit", tmp_path / folder / "dit")
        config = chain(tmp_path / folder, "dit")
        for _ in Run(config, tmp_path / folder / "run").generations():
            pass
    models = [hashes(tmp_path / folder / "run/generation_001/model") for folder in ("a", "b")]
    drawn = [
        (tmp_path / folder / "run/generation_001/samples.safetensors").read_bytes()
        for folder in ("a", "b")
    ]
    assert drawn[0] == drawn[1]
    same = {name for name in models[0] if models[0][name] == models[1][name]}
    assert set(models[0]) - same <= {"imglab.json"}, (
        "which says what it was made from, by its path in the config"
    )


def test_drawing_does_not_depend_on_the_batch(pipelines, captioned):
    built = build(chain(pipelines, "stable_diffusion", captions(captioned)), "test")
    model = built.models[0]
    labels = built.modality.conditions(TrainingSet.of(built.modality.real("train")), 7, seed=0)
    whole = model.sample(7, conditions=labels, seed=3).data.int()
    model._settings = model._settings.model_copy(update={"sampling_batch": 2})
    parts = model.sample(7, conditions=labels, seed=3).data.int()
    assert (whole - parts).abs().max() <= 1


def test_averaged_weights_and_own_dtype(pipelines, tmp_path):
    shutil.copytree(pipelines / "ddpm", tmp_path / "ddpm")
    shutil.copytree(pipelines / "ddpm/unet", tmp_path / "ddpm/unet_ema")
    built = build(chain(tmp_path, "ddpm"), "test").models[0]
    weights = built.network.state_dict()
    with torch.no_grad():
        for tensor in weights.values():
            tensor.mul_(0)
    built.network.save_pretrained(tmp_path / "ddpm/unet_ema")
    again = build(chain(tmp_path, "ddpm"), "test").models[0]
    assert all(float(tensor.abs().max()) == 0 for tensor in again.network.state_dict().values())
    assert build(chain(pipelines, "ddim_bf16"), "test").models[0].network.dtype == torch.bfloat16
    assert (
        build(chain(pipelines, "ddim_bf16", dtype="fp32"), "test").models[0].network.dtype
        == torch.float32
    )


def test_its_own_dtype_is_that_of_the_weights_that_are_opened(pipelines, tmp_path):
    """Folders of the hub often hold weights in fp16 beside those in fp32, whole or in parts."""
    shutil.copytree(pipelines / "ddpm", tmp_path / "ddpm")
    half = build(chain(pipelines, "ddpm"), "test").models[0].network.half()
    half.save_pretrained(tmp_path / "ddpm/unet", variant="fp16")
    assert build(chain(tmp_path, "ddpm"), "test").models[0].network.dtype == torch.float32
    assert (
        build(chain(tmp_path, "ddpm", variant="fp16"), "test").models[0].network.dtype
        == torch.float16
    )
    (tmp_path / "ddpm/unet/diffusion_pytorch_model.fp16.safetensors").unlink()
    half.save_pretrained(tmp_path / "ddpm/unet", variant="fp16", max_shard_size="50KB")
    assert (
        build(chain(tmp_path, "ddpm", variant="fp16"), "test").models[0].network.dtype
        == torch.float16
    )
    build(chain(pipelines, "ddpm"), "test").models[0].network.save_pretrained(
        tmp_path / "ddpm/unet_ema"
    )
    assert (
        build(chain(tmp_path, "ddpm", variant="fp16"), "test").models[0].network.dtype
        == torch.float32
    )


def test_layers_that_fp16_would_spoil_stay_in_fp32(pipelines, captioned, tmp_path):
    """Transformers keeps one layer of T5's in fp32; so does a generation that was saved and opened."""
    built = build(chain(pipelines, "pixart", captions(captioned), dtype="fp16"), "test").models[0]
    built.save(tmp_path / "model")
    for model in (built, load_model(tmp_path / "model")):
        assert model.network.dtype == torch.float16
        inner = model.pipeline.text_encoder.encoder.block[0].layer[1].DenseReluDense
        assert (inner.wi.weight.dtype, inner.wo.weight.dtype) == (torch.float16, torch.float32)


def test_averaged_weights_of_the_hub_are_downloaded_too(pipelines, tmp_path, monkeypatch):
    """Those beside the pipeline's own, in whose place they are opened; not those of every checkpoint of a training."""
    there = tmp_path / "there"
    shutil.copytree(pipelines / "ddpm", there)
    network = build(chain(pipelines, "ddpm"), "test").models[0].network
    network.conv_out.bias.data.fill_(7.0)
    for folder in ("unet_ema", "checkpoint-500/unet_ema"):
        network.save_pretrained(there / folder)

    def download(name, revision=None, allow_patterns=("*.json", "unet/*"), **_):
        for file in filter(Path.is_file, there.rglob("*")):
            at = file.relative_to(there)
            if list(filter_repo_objects([str(at)], allow_patterns=allow_patterns)):
                (tmp_path / "here" / at).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, tmp_path / "here" / at)
        return str(tmp_path / "here")

    monkeypatch.setattr(DiffusionPipeline, "download", download)
    monkeypatch.setattr("imglab.images.pipelines.snapshot_download", download)
    model = build(chain(Path("somebody"), "ddpm"), "test").models[0]
    assert float(model.network.conv_out.bias[0]) == 7
    assert (tmp_path / "here/unet_ema/diffusion_pytorch_model.safetensors").is_file()
    assert not list((tmp_path / "here").glob("checkpoint-500/unet_ema/*.safetensors"))


def test_latents_are_not_clipped_to_the_range_of_pixels(pipelines, captioned):
    latent = build(chain(pipelines, "stable_diffusion", captions(captioned)), "test").models[0]
    pixels = build(chain(pipelines, "ddpm"), "test").models[0]
    for sampler in ("ddim", "ddpm"):
        for model, clipped in ((latent, False), (pixels, True)):
            settings = PipelineSettings(name="any", sampler=sampler)
            assert _sampler(settings, model.pipeline).config.clip_sample is clipped


def saved_unet(pipelines, folder, scheduler=None, **changes):
    """Save the smallest pipeline with another UNet."""
    with seeds.isolated("another UNet"):
        unet = UNet2DModel.from_config(
            {**build(chain(pipelines, "ddpm"), "test").models[0].network.config, **changes}
        )
    DDPMPipeline(unet, scheduler or DDPMScheduler()).save_pretrained(folder / "other")
    return build(chain(folder, "other"), "test")


def test_dropout_is_drawn_from_generators_of_ours(pipelines, tmp_path):
    built = saved_unet(pipelines, tmp_path, dropout=0.5)
    before = torch.random.get_rng_state()
    fits = [
        finish(
            built.models[0].fit(
                TrainingSet.of(built.modality.real("train")), start=built.models[0], seed=1
            )
        )
        for _ in range(2)
    ]
    assert torch.equal(before, torch.random.get_rng_state())
    one, two = (fit.network.state_dict() for fit in fits)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_what_processes_give_one_another_is_no_more_than_what_was_drawn(pipelines, monkeypatch):
    """A part's labels are a view of all labels, and what is sent of a view is all that it is one of."""
    built, sent = build(chain(pipelines, "by_class"), "test"), []
    monkeypatch.setattr(distributed, "all_gather", lambda value: sent.append(value) or [value])
    finish(
        draw(
            built.modality,
            built.models[0],
            TrainingSet.of(built.modality.real("train")),
            20,
            source=None,
            seed=1,
        )
    )
    ((only,),) = sent
    assert [each.untyped_storage().nbytes() for each in (only.data, only.condition)] == [
        20 * 64,
        20 * 8,
    ]


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
    assert _steps(PipelineSettings(name="any"), built.pipeline) == 50
    with pytest.raises(InputError, match=r"model\.steps: 60 are more than the 50"):
        build(chain(tmp_path, "other", steps=60), "test")


def test_a_saved_generation_opens_through_the_lab(pipelines, tmp_path):
    built = build(chain(pipelines, "ddpm"), "test")
    fitted = finish(
        built.models[0].fit(TrainingSet.of(built.modality.real("train")), start=None, seed=1)
    )
    fitted.save(tmp_path / "model")
    assert torch.equal(
        load_model(tmp_path / "model").sample(3, seed=1).data, fitted.sample(3, seed=1).data
    )


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


def test_a_pipelines_own_guidance_is_the_default(pipelines):
    """DiTPipeline leads by a scale of 4 unless it is told otherwise."""
    built = build(chain(pipelines, "dit"), "test")
    told = build(chain(pipelines, "dit", sampling_bias=0.25), "test")
    labels = torch.arange(4)
    assert torch.equal(
        built.models[0].sample(4, conditions=labels, seed=1).data,
        told.models[0].sample(4, conditions=labels, seed=1).data,
    )


def test_other_architectures_are_refused_by_name(pipelines, captioned):
    built = build(chain(pipelines, "stable_diffusion", captions(captioned)), "test")
    for part in ("vae", "tokenizer"):
        broken = copy.copy(built.models[0].pipeline)
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
    broken = copy.copy(built.models[0].pipeline)
    broken.__dict__["unet"] = copy.deepcopy(broken.unet)
    broken.unet.register_to_config(**changes)
    broken.__dict__.update(parts)
    with pytest.raises(InputError, match=told):
        denoiser_of(broken, built.modality.spec, "{}")


def test_a_gradient_without_end_stops_before_the_weights_are_spoiled(pipelines, monkeypatch):
    built = build(chain(pipelines, "ddpm"), "test")
    monkeypatch.setattr(denoising, "_target", lambda noising, clean, step: step.noise * 1e30)
    with pytest.raises(Stopped, match=r"the gradient became .* another --out, or in a fork"):
        finish(
            built.models[0].fit(TrainingSet.of(built.modality.real("train")), start=None, seed=1)
        )


def test_what_is_logged_is_in_the_runs_events(pipelines, tmp_path, monkeypatch):
    loss = denoising._loss

    def little_memory(denoiser, network, step, settings):
        if len(step.images) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return loss(denoiser, network, step, settings)

    monkeypatch.setattr(denoising, "_loss", little_memory)
    next(Run(chain(pipelines, "ddpm"), tmp_path / "run").generations())
    assert "worked on in 2 parts" in (tmp_path / "run/events.jsonl").read_text()


def test_adapters_where_none_can_be(pipelines):
    with pytest.raises(InputError, match="no layer is called 'to_z'"):
        build(chain(pipelines, "dit", lora={"targets": ["to_z"]}), "test")
    with pytest.raises(InputError, match="adapters cannot be put there"):
        build(chain(pipelines, "dit", lora={"targets": ["attn1"]}), "test")


def test_pickled_weights_are_refused_by_name(pipelines, tmp_path):
    shutil.copytree(pipelines / "ddpm", tmp_path / "ddpm")
    weights = tmp_path / "ddpm/unet/diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(InputError, match=r"only pickled weights \(diffusion_pytorch_model.bin\)"):
        build(chain(tmp_path, "ddpm"), "test")
    (tmp_path / "ddpm/model_index.json").unlink()
    with pytest.raises(InputError, match=r"no model_index\.json"):
        build(chain(tmp_path, "ddpm"), "test")


class TestCaptions:
    @pytest.mark.parametrize(
        ("line", "told"),
        [
            ('{"file_name": "00.png"}', "line 1: has no caption under 'text'"),
            (
                '{"file_name": "00.png", "caption": "x"}',
                "has no caption under 'text'; it has caption",
            ),
            ('{"file_name": "../00.png", "text": "x"}', "leads out of the folder"),
            ('{"file_name": "99.png", "text": "x"}', "there is no image '99.png'"),
            ("{", "line 1: Expecting"),
            ("", "01.png: has no caption in metadata.jsonl"),
        ],
    )
    def test_what_is_wrong_is_named(self, line, told, captioned, pipelines, tmp_path):
        folder = shutil.copytree(captioned, tmp_path / "images")
        path = folder / "metadata.jsonl"
        path.write_text("\n".join([line, *path.read_text().splitlines()[2 if not line else 1 :]]))
        with pytest.raises(InputError, match=told):
            build_modality(chain(pipelines, "stable_diffusion", captions(folder)))

    def test_a_caption_may_hold_any_sign(self, captioned, pipelines, tmp_path):
        folder = shutil.copytree(captioned, tmp_path / "images")
        path = folder / "metadata.jsonl"
        path.write_text(path.read_text().replace("dark", "dark\u2028indeed"), encoding="utf-8")
        found = build_modality(chain(pipelines, "stable_diffusion", captions(folder)))
        assert "dark indeed" in found.spec.conditions

    def test_none_at_all(self, captioned, pipelines, tmp_path):
        folder = shutil.copytree(captioned, tmp_path / "images")
        (folder / "metadata.jsonl").unlink()
        with pytest.raises(InputError, match="or use kind: folder"):
            build_modality(chain(pipelines, "stable_diffusion", captions(folder)))
        plain = {"kind": "folder", "path": str(folder)}
        with pytest.raises(InputError, match="neither captions nor classes"):
            build(chain(pipelines, "stable_diffusion", captions(folder, source=plain)), "test")


class TestExtractors:
    def test_clip_scores_the_prompts(self, pipelines, captioned):
        extractor = {"kind": "clip", "name": str(pipelines / "clip")}
        modality = build_modality(
            chain(pipelines, "stable_diffusion", captions(captioned, extractor=extractor))
        )
        real = modality.real("test")
        found = modality.metrics(real, model=None, generation0=None, seed=0)
        assert 0 <= found.values["clip_score"] <= 100
        assert found.values["clip_score"] == found.floor["clip_score"]["mean"]
        assert found.values["hue_drift"] is not None

    @pytest.mark.parametrize(("kind", "settings"), [(Dino, DinoSettings), (Clip, ClipSettings)])
    def test_features_are_those_of_transformers(self, kind, settings, pipelines):
        name = "dinov2" if kind is Dino else "clip"
        extractor = kind(settings(name=str(pipelines / name)))
        images = torch.randint(
            256, (5, 1, 20, 20), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
        )
        found = extractor.features(images)
        assert torch.allclose(found[3:], extractor.features(images[3:]), atol=1e-5), (
            "each on its own"
        )
        assert extractor.name.startswith(f"{name}@")
        assert found.shape == (5, 16)

    def test_a_folder_that_is_something_else(self, pipelines):
        with pytest.raises(InputError, match=r"modality\.extractor\.name"):
            Clip(ClipSettings(name=str(pipelines / "dinov2")))


class TestMemory:
    def test_where_it_runs_out_a_step_is_taken_in_parts(self, pipelines, monkeypatch, caplog):
        """The gradient of a batch is the same in parts, up to rounding; the log says what happened."""
        built = build(chain(pipelines, "ddpm"), "test")
        train = TrainingSet.of(built.modality.real("train"))
        whole = finish(built.models[0].fit(train, start=built.models[0], seed=1))
        loss, largest = denoising._loss, []

        def little_memory(denoiser, network, step, settings):
            if len(step.images) > 5:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
            largest.append(len(step.images))
            return loss(denoiser, network, step, settings)

        monkeypatch.setattr(denoising, "_loss", little_memory)
        parts = finish(built.models[0].fit(train, start=built.models[0], seed=1))
        assert max(largest) <= 5
        assert "worked on in 4 parts" in caplog.text
        pairs = zip(whole.network.parameters(), parts.network.parameters(), strict=True)
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in pairs)

    def test_drawing_goes_on_in_smaller_batches(self, pipelines, monkeypatch, caplog):
        model = build(chain(pipelines, "ddpm"), "test").models[0]
        whole = model.sample(8, seed=1).data
        denoise = denoising._denoise

        def little_memory(denoiser, sampler, settings, steps, generators, labels):
            if len(generators) > 3:
                raise RuntimeError(
                    "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"
                )
            return denoise(denoiser, sampler, settings, steps, generators, labels)

        monkeypatch.setattr(denoising, "_denoise", little_memory)
        assert (model.sample(8, seed=1).data.int() - whole.int()).abs().max() <= 1
        assert "batches of 2 images" in caplog.text

    def test_none_for_the_optimizers_moments(self, pipelines, monkeypatch):
        def none(*_, **__):
            raise torch.OutOfMemoryError("CUDA out of memory.")

        built = build(chain(pipelines, "ddpm"), "test")
        monkeypatch.setattr(torch.optim.AdamW, "step", none)
        with pytest.raises(Stopped, match="or lora"):
            finish(
                built.models[0].fit(
                    TrainingSet.of(built.modality.real("train")), start=None, seed=1
                )
            )

    def test_with_none_at_all_the_run_stops_and_can_go_on(self, pipelines, monkeypatch):
        def none(*_):
            raise torch.OutOfMemoryError("CUDA out of memory.")

        built = build(chain(pipelines, "ddpm"), "test")
        monkeypatch.setattr(denoising, "_loss", none)
        with pytest.raises(Stopped, match="no memory for one image"):
            finish(
                built.models[0].fit(
                    TrainingSet.of(built.modality.real("train")), start=None, seed=1
                )
            )


def test_the_global_generators_are_left_alone(pipelines):
    """A DiT hides labels by itself in training, from the global generator; here ours does."""
    built = build(chain(pipelines, "dit"), "test")
    before = torch.random.get_rng_state()
    finish(built.models[0].fit(TrainingSet.of(built.modality.real("train")), start=None, seed=1))
    assert torch.equal(before, torch.random.get_rng_state())
