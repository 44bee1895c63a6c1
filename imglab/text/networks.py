"""New networks for language models: which architectures there are, and what their sizes are."""

from __future__ import annotations

from collections.abc import Mapping

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from imglab.text.gpt2 import new_gpt2
from imglab.text.llama import new_llama
from imglab.text.network_settings import Gpt2Settings, LlamaSettings, PretrainedSettings

NAMES: Mapping[str, Mapping[str, str]] = {
    "gpt2": {"kind": "model_type", "layers": "n_layer", "width": "n_embd", "heads": "n_head"},
    "llama": {
        "kind": "model_type",
        "layers": "num_hidden_layers",
        "width": "hidden_size",
        "heads": "num_attention_heads",
    },
}
"""What the keys of each architecture are called in its network's config."""


def new_network(
    settings: Gpt2Settings | LlamaSettings, tokenizer: PreTrainedTokenizerBase, positions: int
) -> PreTrainedModel:
    """Return a network with new weights, from the global generator.

    positions  how many tokens it reads at most
    """
    if isinstance(settings, LlamaSettings):
        return new_llama(settings, tokenizer, positions)
    return new_gpt2(settings, tokenizer, positions)


def architecture(
    settings: Gpt2Settings | LlamaSettings | PretrainedSettings,
) -> Mapping[str, tuple[str, int | str]]:
    """Return, by the key of the settings, what a network's config calls it and its value there.

    Empty for pretrained networks, whose sizes the settings do not say.
    """
    names = NAMES.get(settings.kind, {})
    return {key: (name, getattr(settings, key)) for key, name in names.items()}


def dropout_rate(settings: Gpt2Settings | LlamaSettings | PretrainedSettings) -> float:
    """Return the dropout rate that a fit adds to a network; GPT-2's networks have their own."""
    if isinstance(settings, LlamaSettings):
        return settings.dropout
    return 0.0
