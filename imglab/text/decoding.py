"""From a model's next-token logits to text: sampling, and beam search.

The noise of sampling belongs to each sample.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    NoRepeatNGramLogitsProcessor,
    PreTrainedModel,
    RepetitionPenaltyLogitsProcessor,
)

from imglab.text.decoding_settings import BeamSettings
from imglab.text.inversion import invert
from imglab.text.readers import Reader
from imglab.training.hub import quiet


def sample_tokens(
    read: Reader,
    prompts: Tensor,
    uniforms: Tensor,
    *,
    temperature: float,
    top_k: int | None,
    top_p: float,
    ids: int,
    process: LogitsProcessorList | None = None,
) -> Tensor:
    """Continue each prompt by as many tokens as it has uniforms: return int64 [B, T].

    Token t of sample i is where the cumulated distribution, after temperature, top-k and top-p,
    passes uniforms[i, t]: a sample depends on its own noise alone.

    prompts   int64 [B, P]
    uniforms  float [B, T] in [0, 1)
    ids       only the first `ids` tokens of the vocabulary are drawn
    process   changes their logits first, given all tokens before: penalties, or a watermark. Where
              it would leave no token to draw, the logits stay as they are
    """
    text = prompts
    tokens = prompts
    for uniform in uniforms.to(prompts.device).unbind(1):
        logits = read(tokens)[:, :ids].float()
        if process:
            changed = process(text, logits.clone())
            nothing_left = changed.isneginf().all(-1, keepdim=True)
            logits = torch.where(nothing_left, logits, changed)

        tokens = invert(logits / temperature, uniform, top_k=top_k, top_p=top_p)[:, None]
        text = torch.cat([text, tokens], 1)
    return text[:, prompts.shape[1] :]


def penalties(repetition: float, no_repeat_ngram: int | None) -> LogitsProcessorList:
    """Return what makes tokens that stand in the text before less likely; empty for none.

    They are transformers' own, so that its `generate` decodes alike.
    """
    processors = LogitsProcessorList()
    if repetition != 1:
        processors.append(RepetitionPenaltyLogitsProcessor(repetition))
    if no_repeat_ngram is not None:
        processors.append(NoRepeatNGramLogitsProcessor(no_repeat_ngram))
    return processors


def search_beams(
    network: PreTrainedModel,
    prompts: Tensor,
    length: int,
    *,
    decoding: BeamSettings,
    ids: int,
    end: int | None = None,
    cached: bool = True,
) -> Tensor:
    """Return the most likely continuations that beam search finds, int64 [B, length].

    The token that ends a document is one like any other, and text goes on after it, unless there
    is a length penalty: then it ends a continuation and fills up the rest of its block.

    prompts  int64 [B, P]
    ids      only the first `ids` tokens of the vocabulary are drawn
    end      the token that ends a document; a length penalty needs one
    cached   whether the network reads with a key-value cache (`reads_with_cache`)
    """
    plan = _beam_plan(decoding, length, end, cached=cached)
    plan.suppress_tokens = list(range(ids, network.config.vocab_size)) or None

    # The network's own defaults would fill in what the plan leaves open.
    defaults = network.generation_config
    network.generation_config = GenerationConfig()
    try:
        with quiet():
            tokens: Tensor = network.generate(
                prompts, attention_mask=torch.ones_like(prompts), generation_config=plan
            )
    finally:
        network.generation_config = defaults

    drawn = tokens[:, prompts.shape[1] :]
    missing = length - drawn.shape[1]
    return torch.nn.functional.pad(drawn, (0, missing), value=plan.pad_token_id)


def _beam_plan(
    decoding: BeamSettings, length: int, end: int | None, *, cached: bool
) -> GenerationConfig:
    """Return how transformers searches for continuations of so many tokens."""
    ending: dict[str, Any] = {"min_new_tokens": length, "pad_token_id": 0}
    if decoding.length_penalty is not None:
        ending = {"length_penalty": decoding.length_penalty, "pad_token_id": end}
        ending["eos_token_id"] = end

    return GenerationConfig(
        max_new_tokens=length,
        num_beams=decoding.beams,
        do_sample=False,
        repetition_penalty=decoding.repetition_penalty,
        no_repeat_ngram_size=decoding.no_repeat_ngram or 0,
        use_cache=cached,
        **ending,
    )
