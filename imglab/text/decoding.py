"""From a model's next-token logits to text: sampling, and beam search.

The noise of sampling belongs to each sample.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from transformers import DynamicCache, GenerationConfig, PreTrainedModel

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


class Reader(Protocol):
    """Reads on: takes the next tokens, int64 [B, L].

    It returns the logits of the token after all tokens read so far, [B, V].
    """

    def __call__(self, tokens: Tensor) -> Tensor:  # noqa: D102
        ...


def cached_reader(network: PreTrainedModel) -> Reader:
    """Return what reads on with a key-value cache."""
    # Newer versions of transformers call the argument `cache`.
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
    process: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Tensor:
    """Continue each prompt by as many tokens as it has uniforms: return int64 [B, T].

    Token t of sample i is where the cumulated distribution, after temperature, top-k and top-p,
    passes uniforms[i, t]: a sample depends on its own noise alone.

    prompts   int64 [B, P]
    uniforms  float [B, T] in [0, 1)
    ids       only the first `ids` tokens of the vocabulary are drawn
    process   changes their logits first, given the last tokens: a watermark, for instance
    """
    drawn = []
    tokens = prompts
    for uniform in uniforms.to(prompts.device).unbind(1):
        logits = read(tokens)[:, :ids].float()
        if process is not None:
            logits = process(tokens, logits)

        tokens = invert(logits / temperature, uniform, top_k=top_k, top_p=top_p)[:, None]
        drawn.append(tokens)
    return torch.cat(drawn, 1)


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

    if top_k:
        likely, order = logits.topk(min(top_k, logits.shape[1]))
    else:
        likely, order = logits.sort(dim=-1, descending=True)

    cumulated = likely.softmax(-1).cumsum(-1, dtype=torch.float64)
    if top_p < 1:
        last = (cumulated < top_p).sum(-1, keepdim=True).clamp(max=cumulated.shape[1] - 1)
        cumulated = torch.minimum(cumulated, cumulated.gather(1, last))
    return order.gather(1, _passed(cumulated, uniform)[:, None]).squeeze(1)


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
    beams: int,
    ids: int,
    cached: bool = True,
) -> Tensor:
    """Return the most likely continuations that beam search finds, int64 [B, length].

    The token that ends a document is one like any other: text goes on after it.

    prompts  int64 [B, P]
    ids      only the first `ids` tokens of the vocabulary are drawn
    cached   whether the network reads with a key-value cache (`reads_with_cache`)
    """
    beyond = list(range(ids, network.config.vocab_size))
    plan = GenerationConfig(
        max_new_tokens=length,
        min_new_tokens=length,
        num_beams=beams,
        do_sample=False,
        pad_token_id=0,
        suppress_tokens=beyond or None,
        use_cache=cached,
    )

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
    return tokens[:, prompts.shape[1] :]
