"""Chains of pretrained pipelines, small ones."""

from __future__ import annotations

from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

from imglab import seeds
from imglab.config.load import validate_config
from imglab.running.build import build

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


def model_of(pipelines, name, modality=DIGITS, **model):
    """The model of such a chain; what it holds beyond the contract is a pipeline's."""
    return build(chain(pipelines, name, modality, **model), "test").models[0]


def captions(captioned, **changes):
    source = {"kind": "captioned_folder", "path": str(captioned)}
    return {"kind": "image", "source": source, "n_test": 6, "extractor": "pixels", **changes}


def saved_unet(pipelines, folder, scheduler=None, **changes):
    """Save the smallest pipeline with another UNet."""
    with seeds.isolated("another UNet"):
        unet = UNet2DModel.from_config({**model_of(pipelines, "ddpm").network.config, **changes})
    DDPMPipeline(unet, scheduler or DDPMScheduler()).save_pretrained(folder / "other")
    return build(chain(folder, "other"), "test")
