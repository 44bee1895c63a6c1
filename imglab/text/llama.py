"""A small network of Llama's shape, made from a config."""

from __future__ import annotations

from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from imglab.text.network_settings import LlamaSettings

INNER_MULTIPLE = 16
"""The width inside a layer's perceptron is a multiple of this, which is fast on all machines."""


def inner_width(width: int) -> int:
    """Return the width inside the gated perceptron of a layer: 8/3 of `width`, rounded up.

    Its three matrices then have as many weights as the two of a perceptron of four times the width
    (Shazeer 2020, 2002.05202).
    """
    steps = -(-8 * width // (3 * INNER_MULTIPLE))
    return steps * INNER_MULTIPLE


def new_llama(
    settings: LlamaSettings, tokenizer: PreTrainedTokenizerBase, positions: int
) -> LlamaForCausalLM:
    """Return a network of Llama's shape with new weights, from the global generator.

    The output's weights are those of the embedding.

    positions  how many tokens it reads at most
    """
    end = tokenizer.eos_token_id
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            max_position_embeddings=positions,
            hidden_size=settings.width,
            intermediate_size=inner_width(settings.width),
            num_hidden_layers=settings.layers,
            num_attention_heads=settings.heads,
            tie_word_embeddings=True,
            **dict.fromkeys(("bos_token_id", "eos_token_id"), end),
        )
    )
