"""The weights of pipelines: which are opened, in which dtype, and what is saved."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline
from huggingface_hub.utils import filter_repo_objects

from imglab import load_model
from imglab.errors import InputError, Stopped
from imglab.images.diffusion.noising import VariancePreserving
from imglab.running.build import build
from imglab.samples import TrainingSet
from tests.images.pipeline_chains import captions, chain, model_of
from tests.images.test_diffusion import finish


def test_averaged_weights_and_own_dtype(pipelines, tmp_path):
    shutil.copytree(pipelines / "ddpm", tmp_path / "ddpm")
    shutil.copytree(pipelines / "ddpm/unet", tmp_path / "ddpm/unet_ema")
    built = model_of(tmp_path, "ddpm")
    weights = built.network.state_dict()
    with torch.no_grad():
        for tensor in weights.values():
            tensor.mul_(0)
    built.network.save_pretrained(tmp_path / "ddpm/unet_ema")
    again = model_of(tmp_path, "ddpm")
    assert all(float(tensor.abs().max()) == 0 for tensor in again.network.state_dict().values())
    assert model_of(pipelines, "ddim_bf16").network.dtype == torch.bfloat16
    assert model_of(pipelines, "ddim_bf16", dtype="fp32").network.dtype == torch.float32


def test_its_own_dtype_is_that_of_the_weights_that_are_opened(pipelines, tmp_path):
    """Folders of the hub often hold weights in fp16 beside those in fp32, whole or in parts."""
    shutil.copytree(pipelines / "ddpm", tmp_path / "ddpm")
    half = model_of(pipelines, "ddpm").network.half()
    half.save_pretrained(tmp_path / "ddpm/unet", variant="fp16")
    assert model_of(tmp_path, "ddpm").network.dtype == torch.float32
    assert model_of(tmp_path, "ddpm", variant="fp16").network.dtype == torch.float16
    (tmp_path / "ddpm/unet/diffusion_pytorch_model.fp16.safetensors").unlink()
    half.save_pretrained(tmp_path / "ddpm/unet", variant="fp16", max_shard_size="50KB")
    assert model_of(tmp_path, "ddpm", variant="fp16").network.dtype == torch.float16
    model_of(pipelines, "ddpm").network.save_pretrained(tmp_path / "ddpm/unet_ema")
    assert model_of(tmp_path, "ddpm", variant="fp16").network.dtype == torch.float32


def test_layers_that_fp16_would_spoil_stay_in_fp32(pipelines, captioned, tmp_path):
    """Transformers keeps one layer of T5's in fp32; so does a generation that was saved
    and opened.
    """
    built = model_of(pipelines, "pixart", captions(captioned), dtype="fp16")
    built.save(tmp_path / "model")
    for model in (built, load_model(tmp_path / "model")):
        assert model.network.dtype == torch.float16
        inner = model.pipeline.text_encoder.encoder.block[0].layer[1].DenseReluDense
        assert (inner.wi.weight.dtype, inner.wo.weight.dtype) == (torch.float16, torch.float32)


def test_averaged_weights_of_the_hub_are_downloaded_too(pipelines, tmp_path, monkeypatch):
    """Those beside the pipeline's own, in whose place they are opened; not those of every
    checkpoint of a training.
    """
    there = tmp_path / "there"
    shutil.copytree(pipelines / "ddpm", there)
    network = model_of(pipelines, "ddpm").network
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
    monkeypatch.setattr("imglab.images.pipeline_folder.snapshot_download", download)
    model = model_of(Path("somebody"), "ddpm")
    assert float(model.network.conv_out.bias[0]) == 7
    assert (tmp_path / "here/unet_ema/diffusion_pytorch_model.safetensors").is_file()
    assert not list((tmp_path / "here").glob("checkpoint-500/unet_ema/*.safetensors"))


def test_a_saved_generation_opens_through_the_lab(pipelines, tmp_path):
    built = build(chain(pipelines, "ddpm"), "test")
    fitted = finish(
        built.models[0].fit(TrainingSet.of(built.modality.real("train")), start=None, seed=1)
    )
    fitted.save(tmp_path / "model")
    assert torch.equal(
        load_model(tmp_path / "model").sample(3, seed=1).data, fitted.sample(3, seed=1).data
    )


def test_a_gradient_without_end_stops_before_the_weights_are_spoiled(pipelines, monkeypatch):
    built = build(chain(pipelines, "ddpm"), "test")
    monkeypatch.setattr(
        VariancePreserving, "target", lambda noising, clean, noise, times: noise * 1e30
    )
    with pytest.raises(Stopped, match=r"the gradient became .* another --out or in a fork"):
        finish(
            built.models[0].fit(TrainingSet.of(built.modality.real("train")), start=None, seed=1)
        )


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
