"""Folders of strangers that describe gigabytes in a few kilobytes are refused before they open."""

from __future__ import annotations

import json

import pytest
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from transformers import GPT2Config, GPT2LMHeadModel, GPTNeoConfig, GPTNeoForCausalLM

from imglab.errors import InputError
from imglab.images.diffusion.settings import PipelineSettings
from imglab.images.pipeline_folder import open_pipeline
from imglab.training.hub import open_network

SIZES = {"vocab_size": 50, "max_position_embeddings": 32}
TINY = {
    "gpt2": (GPT2LMHeadModel, GPT2Config(n_embd=8, n_layer=1, n_head=2, n_positions=32)),
    "gpt_neo": (
        GPTNeoForCausalLM,
        GPTNeoConfig(
            **SIZES, hidden_size=8, num_layers=1, num_heads=2, attention_types=[[["global"], 1]]
        ),
    ),
}


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("gpt2", {"n_embd": 8000, "vocab_size": 50_000}),
        ("gpt2", {"n_inner": 10_000_000}),
        ("gpt2", {"n_layer": 10**6}),
        # A mask of this many positions squared is no weight, and lies in no file.
        ("gpt_neo", {"max_position_embeddings": 60_000}),
    ],
)
def test_a_small_folder_that_asks_for_gigabytes(kind, changes, tmp_path):
    network, config = TINY[kind]
    network(config).save_pretrained(tmp_path)
    open_network(str(tmp_path), None, "model.network.name", "AutoModelForCausalLM")

    edit(tmp_path / "config.json", changes)
    with pytest.raises(InputError, match=r"its files hold|at most \d+ is possible"):
        open_network(str(tmp_path), None, "model.network.name", "AutoModelForCausalLM")


@pytest.mark.parametrize(
    "changes", [{"block_out_channels": [8192]}, {"num_class_embeds": 100_000_000}]
)
def test_a_small_pipeline_that_asks_for_gigabytes(changes, tmp_path):
    network = UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(8,),
        layers_per_block=1,
        norm_num_groups=8,
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
    )
    DDPMPipeline(network, DDPMScheduler()).save_pretrained(tmp_path)
    open_pipeline(PipelineSettings(name=str(tmp_path)))

    edit(tmp_path / "unet" / "config.json", changes)
    with pytest.raises(InputError, match="its files hold"):
        open_pipeline(PipelineSettings(name=str(tmp_path)))


def edit(path, changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
