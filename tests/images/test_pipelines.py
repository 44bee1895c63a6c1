"""Pretrained pipelines: opened as they are, fine-tuned, drawn from, saved so that diffusers opens
them again.
"""

from __future__ import annotations

import json
import re
import shutil
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler, FluxPipeline

from imglab import Run, check_modality
from imglab.images import captured_inputs
from imglab.images.captured_inputs import plain_keys
from imglab.images.diffusion.fitting import Denoising
from imglab.images.diffusion.noising import Flow
from imglab.images.diffusion.settings import PipelineSettings
from imglab.images.pipeline_drawing import sampler_of
from imglab.images.pipelines import PipelineModel
from imglab.running import earlier_runs
from imglab.running.build import build, build_modality
from imglab.running.earlier_runs import size_below
from imglab.running.fork import fork
from imglab.samples import TrainingSet
from imglab.store import linked_copies, model_folder
from imglab.store.verify import verify
from tests.images.pipeline_chains import captions, chain, model_of, saved_unet
from tests.images.test_diffusion import finish
from tests.tiny_chains import hashes

CASES: dict[str, dict[str, Any]] = {
    "ddpm": {},
    "ddim_bf16": {},
    "by_class": {"sampling_bias": 0.5},
    "latent": {"sampler": "dpm-solver++"},
    "dit": {"sampling_bias": 0.5, "lora": {"targets": ["to_q", "to_v"]}},
}
QUICK = ("ddpm", "dit")
"""Cases whose contracts are tested by default; those of the others are tested with `-m slow`."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in CASES]
)
def test_keeps_the_contracts(name, pipelines):
    built = build(chain(pipelines, name, **CASES[name]), "test")
    check_modality(built.modality, built.models[0], train_on=24)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        pytest.param("stable_diffusion", {"prompt": "a photo of {}"}, marks=pytest.mark.slow),
        pytest.param(
            "stable_diffusion_xl", {"lora": {}, "sampling_bias": 0.2}, marks=pytest.mark.slow
        ),
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
    """One call of the pipeline's own: for the same latents, time and prompt the prediction is the
    pipeline's.
    """
    model = model_of(pipelines, name, captions(captioned))
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
    last = denoiser.noising.times(torch.full((2,), 1 - 1e-6), None)
    with torch.no_grad():
        predicted = denoiser.predict(pipeline.transformer, noisy, last, torch.tensor([0, 1]))
    expected = captured_inputs._unpacked(made, noisy.shape) if packed else made[:, : noisy.shape[1]]
    torch.testing.assert_close(predicted, expected)


class TestFlow:
    def test_adds_noise_as_its_scheduler_does(self):
        scheduler, noising = FlowMatchEulerDiscreteScheduler(), Flow(1000)
        clean, noise = torch.randn(2, 5, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        times = torch.tensor([1.0, 2, 500, 999, 1000])
        expected = scheduler.scale_noise(clean, times, noise)
        torch.testing.assert_close(noising.add_noise(clean, noise, times), expected)

    def test_its_target_leads_the_scheduler_back_to_the_image(self):
        scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
        clean, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        scheduler.set_timesteps(7)
        images = noise
        for time in scheduler.timesteps:
            images = scheduler.step(noise - clean, time, images).prev_sample
        torch.testing.assert_close(images, clean)
        target = Flow(1000).target(clean, noise, torch.tensor([10.0]))
        assert torch.equal(target, noise - clean)


def test_packed_latents_are_those_of_the_pipeline():
    latents = torch.arange(2 * 4 * 6 * 8.0).view(2, 4, 6, 8)
    packed = captured_inputs._packed(latents)
    assert torch.equal(packed, FluxPipeline._pack_latents(latents, 2, 4, 6, 8))
    assert torch.equal(captured_inputs._unpacked(packed, latents.shape), latents)


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
    from imglab.running.export import export

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


@pytest.mark.slow
def test_frozen_parts_are_stored_once_for_a_whole_chain(
    pipelines, captioned, tmp_path, monkeypatch
):
    monkeypatch.setattr(linked_copies, "SMALLEST", 1000)
    run = tmp_path / "run"
    config = chain(pipelines, "stable_diffusion", captions(captioned))
    list(Run(config, run).generations())
    fork(f"{run}@1", tmp_path / "fork", changes=["generations=3"])
    for folder in (run, tmp_path / "fork"):
        models = [folder / f"generation_{g:03d}/model" for g in (0, 1)]
        for part, count in (("vae", 1), ("text_encoder", 1), ("unet", 2)):
            weights = [next((model / part).glob("*.safetensors")) for model in models]
            assert len({path.stat().st_ino for path in weights}) == count
        assert list(verify(folder))

    # A link that is removed leaves the other generation whole.
    frozen = sum(path.stat().st_size for path in (run / "generation_001/model/vae").iterdir())
    each, alike = earlier_runs._disk(run, 2)
    assert alike["fit"] > frozen / 2
    assert each["fit"] + alike["fit"] < size_below(run / "generation_001/model") + 1000
    shutil.rmtree(run / "generation_000/model")
    model_folder.load_model(run / "generation_001/model")


@pytest.mark.parametrize("start", ["base", pytest.param("previous", marks=pytest.mark.slow)])
def test_adapters_are_stored_as_adapters(start, pipelines, tmp_path, monkeypatch):
    monkeypatch.setattr(linked_copies, "SMALLEST", 1000)
    config = chain(pipelines, "dit", **CASES["dit"]).model_copy(update={"start": start})
    generations = list(Run(config, tmp_path / "run").generations())
    models = [tmp_path / f"run/generation_{g:03d}/model" for g in (0, 1)]
    weights = [next((model / "transformer").glob("*.safetensors")) for model in models]
    assert weights[0].samefile(weights[1]), "the base is stored once"

    # Where a generation goes on from the last one, its adapters lie on those before.
    places = sorted(path.name for path in (models[1] / "adapters").iterdir())
    assert places == {"base": ["000"], "previous": ["000", "001"]}[start]
    first = [model / "adapters/000/adapter_model.safetensors" for model in models]
    assert (first[0].read_bytes() == first[1].read_bytes()) == (start == "previous")

    # What is opened is what was fitted, and the card's code merges the same.
    model: Any = generations[1].model
    network = model.network
    pipeline = DiffusionPipeline.from_pretrained(models[1])
    code = re.findall(r"```python\n(.*?)images = ", (models[1] / "README.md").read_text(), re.S)[0]
    monkeypatch.chdir(models[1].parent)
    names: dict[str, Any] = {}
    exec(code, names)
    merged = names["pipeline"].transformer.state_dict()
    base = pipeline.transformer.state_dict()
    for name, weight in network.state_dict().items():
        torch.testing.assert_close(merged[name], weight)
    assert any(not torch.equal(weight, base[name]) for name, weight in merged.items())


def test_drawing_does_not_depend_on_the_batch(pipelines, captioned):
    built = build(chain(pipelines, "stable_diffusion", captions(captioned)), "test")
    model = built.models[0]
    assert isinstance(model, PipelineModel)
    labels = built.modality.conditions(TrainingSet.of(built.modality.real("train")), 7, seed=0)
    whole = model.sample(7, conditions=labels, seed=3).data.int()
    model._settings = model._settings.model_copy(update={"sampling_batch": 2})
    parts = model.sample(7, conditions=labels, seed=3).data.int()
    assert (whole - parts).abs().max() <= 1


@pytest.mark.parametrize("sampler", ["heun", "dpm-solver++"])
def test_a_pipeline_draws_on_karras_levels(sampler, pipelines):
    model = model_of(pipelines, "ddpm", sampler=sampler, spacing="karras", loss_weight="min_snr")
    assert sampler_of(model._settings, model.pipeline).config.use_karras_sigmas
    drawn = model.sample(3, seed=1).data
    assert drawn.shape == (3, *model._spec.shape)
    assert int(drawn.max()) > int(drawn.min())


def test_latents_are_not_clipped_to_the_range_of_pixels(pipelines, captioned):
    latent = model_of(pipelines, "stable_diffusion", captions(captioned))
    pixels = model_of(pipelines, "ddpm")
    for sampler in ("ddim", "ddpm"):
        for model, clipped in ((latent, False), (pixels, True)):
            settings = PipelineSettings(name="any", sampler=sampler)
            assert sampler_of(settings, model.pipeline).config.clip_sample is clipped


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


def test_a_pipelines_own_guidance_is_the_default(pipelines):
    """DiTPipeline leads by a scale of 4 unless it is told otherwise."""
    built = build(chain(pipelines, "dit"), "test")
    told = build(chain(pipelines, "dit", sampling_bias=0.25), "test")
    labels = torch.arange(4)
    assert torch.equal(
        built.models[0].sample(4, conditions=labels, seed=1).data,
        told.models[0].sample(4, conditions=labels, seed=1).data,
    )


def test_what_is_logged_is_in_the_runs_events(pipelines, tmp_path, monkeypatch):
    loss = Denoising.loss

    def little_memory(denoising, network, batch):
        if len(batch["images"]) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return loss(denoising, network, batch)

    monkeypatch.setattr(Denoising, "loss", little_memory)
    next(Run(chain(pipelines, "ddpm"), tmp_path / "run").generations())
    assert "worked on in 2 parts" in (tmp_path / "run/events.jsonl").read_text()


def test_the_global_generators_are_left_alone(pipelines):
    """A DiT hides labels by itself in training, from the global generator; here ours does."""
    built = build(chain(pipelines, "dit"), "test")
    before = torch.random.get_rng_state()
    finish(built.models[0].fit(TrainingSet.of(built.modality.real("train")), start=None, seed=1))
    assert torch.equal(before, torch.random.get_rng_state())
