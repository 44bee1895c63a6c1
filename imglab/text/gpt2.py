"""A small network of GPT-2's shape, made from a config."""

from __future__ import annotations

from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerBase

from imglab.text.settings import Gpt2Settings


def new_gpt2(
    settings: Gpt2Settings, tokenizer: PreTrainedTokenizerBase, positions: int
) -> GPT2LMHeadModel:
    """Make a network of GPT-2's shape with new weights, from the global generator."""
    end = tokenizer.eos_token_id
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=positions,
            n_embd=settings.width,
            n_layer=settings.layers,
            n_head=settings.heads,
            activation_function="gelu_pytorch_tanh",  # GPT-2's own, fused: a third of the time of a forward pass
            **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), settings.dropout),
            **dict.fromkeys(("bos_token_id", "eos_token_id"), end),
        )
    )
