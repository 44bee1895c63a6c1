"""Adapters on networks of several architectures: which layers they may name."""

from __future__ import annotations

import pytest
import torch
import transformers
from torch import nn

from imglab.config.section import LoraSettings
from imglab.training.lora import adaptable_layers, adapter_problems, usual_targets

pytest.importorskip("peft")

SIZES = {
    "vocab_size": 32,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
}
ARCHITECTURES = {
    "GPT2": {"vocab_size": 32, "n_embd": 8, "n_layer": 1, "n_head": 2},
    "Llama": SIZES,
    "GPTNeoX": SIZES,
    "Qwen2": SIZES,
    "OPT": {**SIZES, "ffn_dim": 8, "word_embed_proj_dim": 8},
    "Bloom": {"vocab_size": 32, "hidden_size": 8, "n_layer": 1, "n_head": 2},
}


def network(kind: str):
    config = getattr(transformers, f"{kind}Config")(**ARCHITECTURES[kind])
    with torch.device("meta"):
        model: nn.Module = transformers.AutoModelForCausalLM.from_config(config)
    return model


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_layer_of_another_architecture_is_answered_with_the_usual_ones(kind):
    one = network(kind)
    usual = usual_targets(one)
    assert usual
    assert set(usual) <= set(adaptable_layers(one))
    (problem,) = adapter_problems(LoraSettings(targets=["anything"]), one)
    assert f"this architecture usually takes {', '.join(usual)}; or all-linear" in problem.remedy
    assert all(name in problem.remedy for name in adaptable_layers(one))

    # What the message suggests is taken.
    assert not adapter_problems(LoraSettings(targets=usual), one)
    assert not adapter_problems(LoraSettings(), one)


def test_the_layers_of_an_unknown_network_are_named():
    one = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ModuleDict({"query": nn.Linear(2, 2)}))
    assert adaptable_layers(one) == ["0", "query"]
    (problem,) = adapter_problems(LoraSettings(targets=["quary"]), one)
    assert problem.remedy == "did you mean 'query'?; or all-linear"
