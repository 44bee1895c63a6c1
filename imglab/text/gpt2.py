"""A small network of GPT-2's shape, made from a config."""

from __future__ import annotations

from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerBase

from imglab.text.network_settings import Gpt2Settings

HEAD_WIDTH = 32
"""Dimensions of an attention head of an encoder, unless they do not divide its width."""


def encoder_shape(*, layers: int, width: int, dropout: float = 0.0) -> Gpt2Settings:
    """Return the shape of a small network that measures text, with heads that fit its width."""
    most_heads = max(1, width // HEAD_WIDTH)
    heads = max(count for count in range(1, most_heads + 1) if width % count == 0)
    return Gpt2Settings(layers=layers, width=width, heads=heads, dropout=dropout)


def new_gpt2(
    settings: Gpt2Settings, tokenizer: PreTrainedTokenizerBase, positions: int
) -> GPT2LMHeadModel:
    """Return a network of GPT-2's shape with new weights, from the global generator.

    positions  how many tokens it reads at most
    """
    end = tokenizer.eos_token_id
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=positions,
            n_embd=settings.width,
            n_layer=settings.layers,
            n_head=settings.heads,
            # GPT-2's own activation, fused: a third of the time of a forward pass.
            activation_function="gelu_pytorch_tanh",
            **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), settings.dropout),
            **dict.fromkeys(("bos_token_id", "eos_token_id"), end),
        )
    )
