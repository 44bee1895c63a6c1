"""From a model's next-token logits to text: sampling, and beam search.

The noise of sampling belongs to each sample.
"""

from __future__ import annotations

import inspect
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import (
    DynamicCache,
    GenerationConfig,
    LogitsProcessorList,
    NoRepeatNGramLogitsProcessor,
    PreTrainedModel,
    RepetitionPenaltyLogitsProcessor,
)

from imglab.text.decoding_settings import BeamSettings
from imglab.training.hub import quiet

PROBED = 6
"""Tokens that are read to see how a network reads."""

PROBED_FIRST = 3
"""How many of them are read before the others."""

READS_OTHERWISE = (
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    RuntimeError,
    NotImplementedError,
)
"""What networks raise that do not take a key-value cache."""


MANY_TOKENS = 8192
"""Size of a vocabulary from which on top-p looks at the most likely tokens first."""

TOP_TOKENS = 512
"""How many of them it looks at."""

ROUNDING = 1e-5
"""Far more than sums of probabilities in fp32 are off."""


class Reader(Protocol):
    """Reads on: takes the next tokens, int64 [B, L].

    It returns the logits of the token after all tokens read so far, [B, V].
    """

    def __call__(self, tokens: Tensor) -> Tensor:  # noqa: D102
        ...


def cached_reader(network: PreTrainedModel) -> Reader:
    """Return what reads on with a key-value cache."""
    # A static cache pays little or nothing on a CPU (docs/metrics.md, "Decoding"), and its logits
    # differ in the last bits. Newer versions of transformers call the argument `cache`.
    name = "past_key_values"
    if "cache" in inspect.signature(network.forward).parameters:
        name = "cache"
    cache = {name: DynamicCache(config=network.config)}

    def read(tokens: Tensor) -> Tensor:
        output = network(tokens, **cache, use_cache=True, logits_to_keep=1)
        logits: Tensor = output.logits[:, -1]
        return logits

    return read


def whole_reader(network: PreTrainedModel) -> Reader:
    """Return what reads everything again for each token.

    It is for networks that keep what they have read in no key-value cache.
    """
    seen: list[Tensor] = []

    def read(tokens: Tensor) -> Tensor:
        seen[:] = [torch.cat([*seen, tokens], 1)]
        logits: Tensor = network(seen[0], use_cache=False).logits[:, -1]
        return logits

    return read


@torch.inference_mode()
def reads_with_cache(network: PreTrainedModel) -> bool:
    """Say whether a network, given a key-value cache, reads on as it reads all at once.

    Some networks take no cache, or keep one of their own, and ignore the keyword silently. Raises
    ValueError for a network whose logits depend on tokens that come later: it cannot continue text.
    """
    size = network.config.vocab_size
    tokens = torch.arange(1, PROBED + 1, device=network.device)[None] % size
    whole = network(tokens, use_cache=False).logits
    start = network(tokens[:, :PROBED_FIRST], use_cache=False).logits
    if not _alike(whole[:, PROBED_FIRST - 1], start[:, -1]):
        raise ValueError(
            "it looks at the tokens that come after: it is not a causal language model"
        )

    try:
        read = cached_reader(network)
        read(tokens[:, :PROBED_FIRST])
        for place in range(PROBED_FIRST, PROBED):
            logits = read(tokens[:, place : place + 1])
    except READS_OTHERWISE:
        return False
    return _alike(logits, whole[:, -1])


def _alike(one: Tensor, two: Tensor) -> bool:
    """Say whether logits agree to a thousandth of their spread."""
    scale = float((two - two.mean()).abs().max()) or 1.0
    return float((one - two).abs().max()) <= 1e-3 * scale


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


def invert(
    logits: Tensor, uniform: Tensor, *, top_k: int | None = None, top_p: float = 1.0
) -> Tensor:
    """Return where the cumulated distribution of logits passes `uniform`: tokens, int64 [B].

    logits   [B, V]
    uniform  [B]
    top_k    draw from the k most likely tokens
    top_p    draw from the fewest of these whose probabilities sum to p (Holtzman et al. 2020),
             each in proportion to its probability
    """
    if top_k is None and top_p == 1:
        return _passed(logits.softmax(-1).cumsum(-1, dtype=torch.float64), uniform)
    if top_k is None and logits.shape[1] >= MANY_TOKENS:
        return _invert_from_the_top(logits, uniform, top_p)
    return _invert_sorted(logits, uniform, top_k, top_p)


def _invert_sorted(logits: Tensor, uniform: Tensor, top_k: int | None, top_p: float) -> Tensor:
    """Return what `invert` returns, from the tokens in the order of their probabilities."""
    if top_k:
        likely, order = logits.topk(min(top_k, logits.shape[1]))
    else:
        likely, order = logits.sort(dim=-1, descending=True)

    cumulated = likely.softmax(-1).cumsum(-1, dtype=torch.float64)
    if top_p < 1:
        last = (cumulated < top_p).sum(-1, keepdim=True).clamp(max=cumulated.shape[1] - 1)
        cumulated = torch.minimum(cumulated, cumulated.gather(1, last))
    return order.gather(1, _passed(cumulated, uniform)[:, None]).squeeze(1)


def _invert_from_the_top(logits: Tensor, uniform: Tensor, top_p: float) -> Tensor:
    """Return the tokens that `_invert_sorted` returns, mostly without sorting the vocabulary.

    The few most likely tokens decide where they hold the mass `top_p` and no sum lies so near to
    a border that rounding, or the order of equal logits, could matter. Other rows are sorted.
    """
    likely, order = logits.topk(TOP_TOKENS)
    cumulated = (likely - logits.logsumexp(-1, keepdim=True)).exp().cumsum(-1, dtype=torch.float64)
    last = (cumulated < top_p).sum(-1, keepdim=True).clamp(max=TOP_TOKENS - 1)
    level = uniform.double()[:, None] * cumulated.gather(1, last)
    place = (cumulated <= level).sum(-1, keepdim=True).clamp(max=TOP_TOKENS - 2)

    # Equal logits stand next to each other, in an order that sorting need not share.
    chosen = likely.gather(1, place)
    tied = likely.gather(1, place + 1) == chosen
    tied |= (likely.gather(1, (place - 1).clamp(min=0)) == chosen) & (place > 0)
    distance = torch.minimum((cumulated - top_p).abs(), (cumulated - level).abs())
    is_sure = (cumulated[:, -1] > top_p) & (distance > ROUNDING).all(-1) & ~tied.squeeze(1)

    tokens = order.gather(1, place).squeeze(1)
    unsure = (~is_sure).nonzero().squeeze(1)
    if len(unsure):
        tokens[unsure] = _invert_sorted(logits[unsure], uniform[unsure], None, top_p)
    return tokens


def _passed(cumulated: Tensor, uniform: Tensor) -> Tensor:
    """Return the first place whose cumulated probability is above uniform times the whole.

    cumulated  float64 [B, V]
    """
    level = uniform.double()[:, None] * cumulated[:, -1:]
    places = torch.searchsorted(cumulated, level, right=True).squeeze(1)
    return places.clamp(max=cumulated.shape[1] - 1)


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
