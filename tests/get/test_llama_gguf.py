"""From GGUF to transformers: the same weights, the same logits, the same tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from imglab.get.llama_gguf import restore_rotary, transformers_name, write_llama

gguf = pytest.importorskip("gguf")

END = "<|endoftext|>"
LETTERS = [*"abcdefghijklmnopqrstuvwxyz0123456789", "Ġ", "Ċ", "."]
MERGES = ["t h", "th e", "Ġ the"]
TOKENS = [END, "<|im_start|>", *LETTERS, "th", "the", "Ġthe"]
SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}


def interleave(rows: np.ndarray, heads: int) -> np.ndarray:
    """What llama.cpp's converter does to the rows of a query or key projection."""
    halves = rows.reshape(heads, 2, -1, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def llama(*, tied: bool) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(TOKENS),
        **SIZES,
        **HEADS,
        max_position_embeddings=32,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
        tie_word_embeddings=tied,
    )
    return LlamaForCausalLM(config).eval()


def names(layers: int) -> dict[str, str]:
    """Names of GGUF by names of transformers."""
    parts = ("norm", "q", "k", "v", "output")
    inner = [f"attn_{part}" for part in parts] + [
        f"ffn_{x}" for x in ("norm", "gate", "up", "down")
    ]
    all_names = ["token_embd", "output_norm", "output"]
    all_names += [f"blk.{layer}.{part}" for layer in range(layers) for part in inner]
    return {transformers_name(f"{name}.weight"): f"{name}.weight" for name in all_names}


def write_gguf(path: Path, network: LlamaForCausalLM, *, rounded: bool) -> None:
    """Write a network as llama.cpp's converter does; `rounded` stores blocks of 8-bit numbers."""
    config = network.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])

    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, 3, *[1] * (len(TOKENS) - 2)])
    writer.add_token_merges(MERGES)

    weights = dict(network.named_parameters())
    for name, short in names(config.num_hidden_layers).items():
        if name not in weights:
            continue
        array = weights[name].detach().numpy()
        if "attn_q" in short:
            array = interleave(array, config.num_attention_heads)
        if "attn_k" in short:
            array = interleave(array, config.num_key_value_heads)

        kind = gguf.GGMLQuantizationType.F32
        if rounded and array.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
            array = gguf.quants.quantize(array, kind)
        writer.add_tensor(short, array, raw_dtype=kind)

    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def converted(tmp_path: Path, network: LlamaForCausalLM, *, rounded: bool = False) -> Path:
    write_gguf(tmp_path / "weights.gguf", network, rounded=rounded)
    folder = tmp_path / "folder"
    folder.mkdir()
    write_llama(tmp_path / "weights.gguf", folder, ends=END)
    return folder


def logits(network) -> torch.Tensor:
    tokens = torch.arange(20)[None] % len(TOKENS)
    with torch.inference_mode():
        answer: torch.Tensor = network(tokens).logits
    return answer


@pytest.mark.parametrize("tied", [True, False])
def test_a_network_returns_as_it_was(tmp_path, tied):
    network = llama(tied=tied)
    opened = AutoModelForCausalLM.from_pretrained(converted(tmp_path, network))
    torch.testing.assert_close(logits(opened), logits(network), rtol=0, atol=0)
    assert (opened.lm_head.weight is opened.model.embed_tokens.weight) == tied
    assert opened.config.rms_norm_eps == 1e-5


def test_rounded_weights_are_those_that_transformers_reads(tmp_path):
    network = llama(tied=True)
    opened = AutoModelForCausalLM.from_pretrained(converted(tmp_path, network, rounded=True))
    for name, weight in network.named_parameters():
        error = (opened.get_parameter(name) - weight).abs().max()
        # Half a step of a block whose largest number is stored as 127.
        assert error <= weight.abs().max() / 127 * 0.51

    reference = AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file="weights.gguf", dtype=torch.float32
    )
    torch.testing.assert_close(logits(opened), logits(reference.eval()), rtol=0, atol=0)


def test_the_rotary_order_matters_and_is_restored():
    rows = np.arange(16.0).reshape(8, 2)
    stored = interleave(rows, heads=2)
    assert not np.array_equal(stored, rows)
    assert np.array_equal(restore_rotary(stored, heads=2), rows)


def test_the_tokenizer_reads_digits_one_by_one_and_ends_texts(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(converted(tmp_path, llama(tied=True)))
    text = "in the 1999th\nyear."
    tokens = tokenizer(text).input_ids
    assert tokenizer.decode(tokens) == text
    assert tokenizer.convert_ids_to_tokens(tokens)[2:9] == ["Ġthe", "Ġ", "1", "9", "9", "9", "th"]
    assert tokenizer.bos_token == tokenizer.eos_token == tokenizer.pad_token == END
    assert tokenizer(f"a{END}").input_ids[-1] == 0
    assert tokenizer.decode([2, 0], skip_special_tokens=True) == "a"


def test_a_weight_without_a_place_is_refused():
    with pytest.raises(ValueError, match="has no place"):
        transformers_name("blk.0.attn_sinks.weight")
