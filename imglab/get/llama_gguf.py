"""From GGUF, the file format of llama.cpp, to a folder of transformers (architecture `llama`).

GGUF holds the weights under short names, rounded in blocks, with the rows of the query and key
projections in the order in which llama.cpp rotates them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

OUTER = {"token_embd": "embed_tokens", "output_norm": "norm"}
INNER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
CONTROL = 3
"""The type of a token that stands for no text, in GGUF."""


def write_llama(gguf_file: Path, folder: Path, *, ends: str) -> None:
    """Write config, weights (float32) and tokenizer of a GGUF file into an existing folder.

    ends  the token that begins and ends a text and pads, e.g. "<|endoftext|>"
    Raises ValueError for a file of another architecture, or whose weights do not fit its config.
    """
    from gguf import GGUFReader

    reader = GGUFReader(gguf_file)
    facts = {name: field.contents() for name, field in reader.fields.items()}
    if facts["general.architecture"] != "llama":
        raise ValueError(f"architecture is {facts['general.architecture']}, expected llama")

    tokenizer = read_tokenizer(facts, ends)
    tied = all(tensor.name != "output.weight" for tensor in reader.tensors)
    config = read_config(facts, tied=tied, end=tokenizer.eos_token_id)
    weights = read_weights(reader, config)
    _check_weights(weights, config)

    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def read_config(facts: dict[str, Any], *, tied: bool, end: int) -> LlamaConfig:
    """Return the network's config as its GGUF file describes it.

    tied  whether the embeddings are the output layer as well
    """
    heads = facts["llama.attention.head_count"]
    config = LlamaConfig(
        vocab_size=len(facts["tokenizer.ggml.tokens"]),
        hidden_size=facts["llama.embedding_length"],
        intermediate_size=facts["llama.feed_forward_length"],
        num_hidden_layers=facts["llama.block_count"],
        num_attention_heads=heads,
        num_key_value_heads=facts.get("llama.attention.head_count_kv", heads),
        max_position_embeddings=facts["llama.context_length"],
        # The file has the number in float32: 1e-5 is then 9.99999975e-6.
        rms_norm_eps=float(f"{facts['llama.attention.layer_norm_rms_epsilon']:.6g}"),
        rope_parameters={"rope_type": "default", "rope_theta": facts["llama.rope.freq_base"]},
        tie_word_embeddings=tied,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )
    config.architectures = ["LlamaForCausalLM"]
    config.dtype = "float32"
    return config


def read_weights(reader: Any, config: LlamaConfig) -> dict[str, np.ndarray[Any, Any]]:
    """Return all weights, float32, under the names of transformers."""
    from gguf.quants import dequantize

    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    weights = {}
    for tensor in reader.tensors:
        array = np.asarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        part = tensor.name.removesuffix(".weight").rpartition(".")[2]
        if part in heads:
            array = restore_rotary(array, heads[part])
        weights[transformers_name(tensor.name)] = np.ascontiguousarray(array)
    return weights


def transformers_name(name: str) -> str:
    """Return the name that transformers has for a weight of GGUF; ValueError if it has none.

    >>> transformers_name("blk.3.attn_q.weight")
    'model.layers.3.self_attn.q_proj.weight'
    """
    if name == "output.weight":
        return "lm_head.weight"
    outer = re.fullmatch(r"(\w+)\.weight", name)
    if outer and outer[1] in OUTER:
        return f"model.{OUTER[outer[1]]}.weight"

    inner = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", name)
    if inner and inner[2] in INNER:
        return f"model.layers.{inner[1]}.{INNER[inner[2]]}.weight"
    raise ValueError(f"the weight {name!r} has no place in a network of transformers")


def restore_rotary(rows: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """Return the rows of a query or key projection [heads * size, width] in transformers' order.

    Within a head llama.cpp rotates neighbours, (0, 1), (2, 3), ...; transformers rotates halves,
    (0, size / 2), (1, size / 2 + 1), ...
    """
    pairs = rows.reshape(heads, -1, 2, *rows.shape[1:])
    return pairs.swapaxes(1, 2).reshape(rows.shape)


def read_tokenizer(facts: dict[str, Any], ends: str) -> PreTrainedTokenizerFast:
    """Return the byte-level BPE tokenizer that a GGUF file holds; it takes digits one by one.

    Raises ValueError for a tokenizer of another kind.
    """
    kind = (facts["tokenizer.ggml.model"], facts["tokenizer.ggml.pre"])
    if kind != ("gpt2", "smollm"):
        raise ValueError(f"the tokenizer is {'/'.join(kind)}, expected gpt2/smollm")

    tokens = facts["tokenizer.ggml.tokens"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    merges = [tuple(merge.split(" ")) for merge in facts["tokenizer.ggml.merges"]]
    bpe = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))

    # As in SmolLM2's own tokenizer.json.
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    types = zip(tokens, facts["tokenizer.ggml.token_type"], strict=True)
    bpe.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False)
            for token, kind in types
            if kind == CONTROL
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        model_max_length=facts["llama.context_length"],
        clean_up_tokenization_spaces=False,
        **dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), ends),
    )


def _check_weights(weights: dict[str, np.ndarray[Any, Any]], config: LlamaConfig) -> None:
    """Raise ValueError unless names and shapes are those of the network that the config makes."""
    with torch.device("meta"):
        network = LlamaForCausalLM(config)
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    if config.tie_word_embeddings:
        del expected["lm_head.weight"]

    actual = {name: array.shape for name, array in weights.items()}
    if actual != expected:
        different = sorted(dict(actual.items() ^ expected.items()))
        raise ValueError(f"weights do not fit the config: {', '.join(different[:3])}")
