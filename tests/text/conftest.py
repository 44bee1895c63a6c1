"""A tiny language model that tests share."""

from __future__ import annotations

import pytest
import torch
from transformers import OPTConfig, OPTForCausalLM

from imglab.samples import TrainingSet
from tests.text_fixtures import finish, text_parts


@pytest.fixture(scope="session")
def fitted():
    """A tiny language model, fitted, and its modality."""
    modality, model = text_parts()
    return modality, finish(model.fit(TrainingSet.of(modality.real("train")), start=None, seed=3))


@pytest.fixture(scope="session")
def opt(tmp_path_factory):
    """A tiny OPT with its tokenizer, as `save_pretrained` leaves them; it knows more tokens than
    the tokenizer has.
    """
    folder = tmp_path_factory.mktemp("opt")
    modality, _ = text_parts()
    modality.tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    OPTForCausalLM(
        OPTConfig(
            vocab_size=304,
            hidden_size=16,
            ffn_dim=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=64,
            word_embed_proj_dim=16,
        )
    ).save_pretrained(folder)
    return folder
